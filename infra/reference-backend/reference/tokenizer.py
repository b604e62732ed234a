"""A Hugging Face tokenizer folder, and the two ids in it that training needs."""

import json
from pathlib import Path

from tokenizers import Tokenizer


def load(folder: str) -> Tokenizer:
    return Tokenizer.from_file(str(Path(folder, "tokenizer.json")))


def special_ids(folder: str, known: Tokenizer) -> tuple[int, int]:
    """(eos, pad); a tokenizer without pad token pads with eos, as MindSpeed-LLM's does."""
    names = {}
    for file in (Path(folder, "special_tokens_map.json"), Path(folder, "tokenizer_config.json")):
        if file.exists():
            names.update(json.loads(file.read_text(encoding="utf-8")))
    tokens = [names.get("eos_token"), names.get("pad_token") or names.get("eos_token")]
    eos, pad = (known.token_to_id(token["content"] if isinstance(token, dict) else str(token)) for token in tokens)
    if eos is None or pad is None:
        raise ValueError(f"tokenizer {folder} does not know its eos_token or pad_token: {tokens}")
    return eos, pad
