"""Prints what checkpoint files hold: keys, types and shapes; norms of the weights; the order of the flat buffer."""

import json
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch

from reference.checkpoint import torch_load


def main() -> None:
    described = {}
    for path in sys.argv[1:]:
        content = torch_load(Path(path))
        described[path] = {"content": describe(content)}
        if "model" in content:
            weights = {name: tensor for name, tensor in content["model"].items() if tensor is not None}
            described[path]["weights"] = {
                name: [float(tensor.double().norm()), float(tensor.double().sum())] for name, tensor in weights.items()
            }
            optimizer = Path(path).with_name("distrib_optim.pt")
            if optimizer.exists():
                (flat,) = torch_load(optimizer)[0].values()
                described[path]["flatOrder"] = flat_order(flat["param"], weights)
    print("\n" + json.dumps(described))


def describe(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return f"{str(value.dtype)[6:]}{list(value.shape)}"
    if isinstance(value, Namespace):
        return describe(vars(value))
    if isinstance(value, dict):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, tuple) and len(value) > 100:
        return f"tuple of {len(value)}"
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if hasattr(value, "dtype"):
        return f"ndarray {value.dtype}{list(value.shape)}"
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def flat_order(flat: torch.Tensor, weights: dict[str, torch.Tensor]) -> list[dict[str, Any]]:
    """Where each (float32) weight lies, found by its values."""
    found = []
    for name, tensor in weights.items():
        values = tensor.flatten().float()
        places = range(0, len(flat) - len(values) + 1, 64)
        offset = next((at for at in places if torch.equal(flat[at : at + len(values)], values)), None)
        found.append({"offset": offset, "name": name, "shape": list(tensor.shape)})
    return sorted(found, key=lambda entry: (entry["offset"] is None, entry["offset"]))


if __name__ == "__main__":
    main()
