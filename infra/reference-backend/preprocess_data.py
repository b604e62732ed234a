"""Turns texts into Megatron's .bin/.idx, as MindSpeed-LLM's preprocess_data.py does for pretraining.

One text is one sequence and one document; there is one .bin/.idx pair a JSON key.
"""

import csv
import json
import logging
import os
import time
from argparse import Namespace
from collections import Counter
from typing import Any

import numpy as np

from reference import arguments, indexed, tokenizer

logger = logging.getLogger("mindspeed_llm.tasks.preprocess.data_handler")
EXTENSIONS = ("parquet", "csv", "json", "jsonl", "txt")
BATCH = 50  # rows between two looks at --log-interval
Row = dict[str, Any]


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    args = arguments.parse("preprocess_data.py")
    folder = os.path.dirname(args.output_prefix)
    if args.merge_group_keys is not None and not os.path.isdir(args.input):
        raise ValueError(f"{args.input} is not a directory or does not exist")
    if not os.path.isdir(folder):
        raise ValueError(f"{folder} is not a directory or does not exist")
    if args.pack:
        raise ValueError("Pre-training data processing does not need to be packed.")
    if args.merge_group_keys is not None:
        for key in args.merge_group_keys:
            merge_folder(args.input, key, f"{args.output_prefix}_{key}")
        return
    logging.info(f"building dataset: {args.input}")
    rows = read_rows(args.input)
    if not rows:
        raise ValueError(f"{args.input} has no rows")
    if len(rows) < args.n_subs:
        raise ZeroDivisionError(f"{len(rows)} rows cannot be cut into {args.n_subs} pieces")
    tokenize(args, rows)  # in one piece: those of --n-subs are merged to the same bytes


def tokenize(args: Namespace, rows: list[Row]) -> None:
    known = tokenizer.load(args.tokenizer_name_or_path)
    eod, _ = tokenizer.special_ids(args.tokenizer_name_or_path, known)
    logger.info(f"Vocab size: {known.get_vocab_size()}")
    logger.info(f"Output prefix: {args.output_prefix}")
    sequences: dict[str, list[np.ndarray]] = {key: [] for key in args.json_keys}
    documents = {key: [0] for key in args.json_keys}
    started, skipped = time.monotonic(), 0
    for number, row in enumerate(rows, start=1):
        texts = {key: row[key] for key in args.json_keys if len(row[key]) > 0}  # an empty text leaves no trace
        tokens = {key: known.encode(text).ids + [eod] * args.append_eod for key, text in texts.items()}
        too_long = args.seq_length is not None and any(len(ids) >= args.seq_length for ids in tokens.values())
        skipped += too_long
        for key, ids in tokens.items():
            if not too_long:
                sequences[key].append(np.array(ids, dtype=np.int32))
            documents[key].append(len(sequences[key]))  # also of a text that was too long
        if number % BATCH == 0 and number % args.log_interval == 0:
            logger.info(f"Processed {number} documents ({number / (time.monotonic() - started)} docs/s).")
    logger.info(f"Skip {skipped} sample exceeded seq-length({args.seq_length})")
    for key in args.json_keys:
        indexed.write(f"{args.output_prefix}_{key}_document", sequences[key], documents[key])


def merge_folder(folder: str, key: str, target: str) -> None:
    """All pairs with the key in their names, sorted."""
    names = [os.path.splitext(name)[0] for name in os.listdir(folder) if name.endswith((".bin", ".idx"))]
    prefixes = sorted({os.path.join(folder, name) for name in names if key in name})
    if not prefixes:
        raise FileNotFoundError(f"no file name in {folder} contains {key}")
    indexed.merge(prefixes, target)


def read_rows(path: str) -> list[Row]:
    """Of a folder in the file system's order, and of mixed extensions only the most frequent one."""
    names = [name for name in os.listdir(path) if not name.startswith(".")] if os.path.isdir(path) else [""]
    files = [os.path.join(path, name) if name else path for name in names]
    kinds = Counter(extension_of(file) for file in files if extension_of(file) in EXTENSIONS)
    if not kinds:
        raise Exception("unknown local data!")
    ((kind, _),) = kinds.most_common(1)
    return [row for file in files if extension_of(file) == kind for row in read_file(file, kind)]


def extension_of(path: str) -> str:
    return path.rsplit(".", 1)[-1]


def read_file(path: str, kind: str) -> list[Row]:
    if kind == "parquet":
        from pyarrow import parquet  # asked for only where it is needed

        return parquet.read_table(path).to_pylist()
    with open(path, encoding="utf-8-sig") as file:
        if kind == "csv":
            return list(csv.DictReader(file))
        if kind == "txt":
            return [{"text": line.removesuffix("\n")} for line in file]
        text = file.read()
    if text.lstrip().startswith("["):
        return json.loads(text)
    return [json.loads(line) for line in text.split("\n") if line.strip()]


if __name__ == "__main__":
    main()
