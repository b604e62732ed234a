"""What training needs of a Hugging Face tokenizer folder: the ids of eos and pad, and the vocabulary's size."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any


def special_ids(folder: str) -> tuple[int, int]:
    """(eos, pad); a tokenizer without pad token pads with eos, as MindSpeed-LLM's does."""
    config = read(folder, "tokenizer_config.json")
    names = {**read(folder, "special_tokens_map.json"), **config}
    eos = token_id(folder, config, names.get("eos_token"))
    pad = token_id(folder, config, names.get("pad_token"))
    if eos is None:
        raise ValueError(f"tokenizer {folder} has no eos_token")
    return eos, eos if pad is None else pad


def token_id(folder: str, config: dict[str, Any], token: Any) -> int | None:
    content = token["content"] if isinstance(token, dict) else token
    if content is None:
        return None
    for number, added in config.get("added_tokens_decoder", {}).items():
        if added["content"] == content:
            return int(number)
    return vocabulary(folder).get(content)


def vocabulary(folder: str) -> dict[str, int]:
    data = read(folder, "tokenizer.json")
    added = {token["content"]: token["id"] for token in data.get("added_tokens", [])}
    return {**data["model"]["vocab"], **added}


def padded_vocab_size(args: Namespace) -> int:
    multiple = args.make_vocab_size_divisible_by
    return -(-len(vocabulary(args.tokenizer_name_or_path)) // multiple) * multiple


def read(folder: str, name: str) -> dict[str, Any]:
    path = Path(folder) / name
    if not path.exists() and name == "special_tokens_map.json":
        return {}
    return json.loads(path.read_text(encoding="utf-8"))
