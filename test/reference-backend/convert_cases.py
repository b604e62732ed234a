"""Runs recorded conversions in one process: convert_cases.py NAME... or all; prints exit codes and what was written."""

import hashlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

import convert_ckpt_v2
from reference.checkpoint import torch_load

GOLDEN = Path(__file__).parent.parent / "fixtures/golden/convert"


def main() -> None:
    recorded = json.loads((GOLDEN / "cases.json").read_text())
    models = make_models()
    names = sys.argv[1:] or list(recorded["cases"])
    cases = {name: run(recorded["cases"][name]["arguments"]) for name in names}
    print("\n" + json.dumps({"models": models, "cases": cases}))


def make_models() -> dict[str, Any]:
    """The recorded models all hold the same weights: untied or tied, float32 or rounded to bfloat16."""
    models = {}
    weights = load_file(GOLDEN / "hf-f32/model.safetensors")
    for tied in (False, True):
        for dtype, name in ((torch.float32, "f32"), (torch.bfloat16, "bf16")):
            folder = Path(f"hf-tied-{name}" if tied else f"hf-{name}")
            folder.mkdir(exist_ok=True)
            config = json.loads((GOLDEN / "hf-f32/config.json").read_text())
            config.update(tie_word_embeddings=tied, dtype=str(dtype)[6:])
            (folder / "config.json").write_text(json.dumps(config))
            shutil.copy(GOLDEN / "hf-f32/generation_config.json", folder)
            tensors = {key: value.to(dtype) for key, value in weights.items() if not (tied and key == "lm_head.weight")}
            save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
            models[folder.name] = describe(tensors)
    return models


def run(arguments: list[str]) -> dict[str, Any]:
    sys.argv = ["convert_ckpt_v2.py", *arguments]
    try:
        convert_ckpt_v2.main()
    except Exception as error:
        return {"exit": 1, "error": f"{type(error).__name__}: {error}"}
    target = Path(arguments[arguments.index("--save-dir") + 1])
    files = sorted(path for path in target.rglob("*") if path.is_file())
    written = {str(path.relative_to(target)): describe_file(path) for path in files}
    return {"exit": 0, "files": written}


def describe_file(path: Path) -> dict[str, Any]:
    if path.suffix == ".pt":
        saved = torch_load(path)
        rest = {key: value for key, value in saved.items() if key not in ("args", "model")}
        return {"args": vars(saved["args"]), "tensors": describe(saved["model"]), "rest": rest}
    content = path.read_bytes()
    if path.name.endswith(".index.json"):  # written by another library: what it says, not how it is laid out
        content = json.dumps(json.loads(content), sort_keys=True).encode()
    return {"sha256": hashlib.sha256(content).hexdigest()}


def describe(tensors: dict[str, torch.Tensor]) -> dict[str, str]:
    described = {}
    for name, tensor in tensors.items():
        data = tensor.contiguous().flatten().view(torch.int16).numpy().tobytes()
        shape = json.dumps(list(tensor.shape), separators=(",", ":"))
        described[name] = f"{str(tensor.dtype)[6:]}{shape} {hashlib.sha256(data).hexdigest()[:32]}"
    return described


if __name__ == "__main__":
    main()
