"""preprocess_data.py: one text, one sequence, one document; one .bin/.idx pair a JSON key."""

import csv
import json
import os
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .arguments import parse
from .indexed import IndexedWriter
from .tokenizer import special_ids

LOGGER = "mindspeed_llm.tasks.preprocess.data_handler"
EXTENSIONS = ("parquet", "csv", "json", "jsonl", "txt")
BATCH = 50  # rows between two looks at --log-interval


def main() -> None:
    args = parse("preprocess_data.py")
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
    info("__main__", f"building dataset: {args.input}")
    rows = list(read_rows(args.input))
    if not rows:
        raise ValueError(f"{args.input} has no rows")
    if args.n_subs == 1:
        tokenize(args, rows, args.output_prefix)
    else:
        tokenize_in_pieces(args, rows)


def tokenize_in_pieces(args: Namespace, rows: list[dict[str, Any]]) -> None:
    """As --n-subs does it, one after the other. The real one too names the pieces by replacing in the whole path."""
    name = os.path.basename(args.output_prefix)
    size = len(rows) // args.n_subs
    if size < 1:
        raise ZeroDivisionError(f"{len(rows)} rows cannot be cut into {args.n_subs} pieces")
    starts = range(0, len(rows), size)
    labels = (f"{number:03d}_of_{len(starts) - 1:03d}_{name}" for number in range(len(starts)))
    pieces = [args.output_prefix.replace(name, label) for label in labels]
    for piece, start in zip(pieces, starts, strict=True):
        tokenize(args, rows[start : start + size], piece)
    for key in args.json_keys:
        parts = [f"{piece}_{key}_document" for piece in pieces]
        merge(parts, f"{args.output_prefix}_{key}_document")
        for part in parts:
            for extension in (".bin", ".idx"):
                os.remove(part + extension)


def tokenize(args: Namespace, rows: list[dict[str, Any]], prefix: str) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(os.path.join(args.tokenizer_name_or_path, "tokenizer.json"))
    eod, _ = special_ids(args.tokenizer_name_or_path)
    info(LOGGER, f"Vocab size: {tokenizer.get_vocab_size()}")
    info(LOGGER, f"Output prefix: {prefix}")
    writers = {key: IndexedWriter(f"{prefix}_{key}_document") for key in args.json_keys}
    started, written, skipped = time.monotonic(), 0, 0
    for number, row in enumerate(rows, start=1):
        texts = {key: row[key] for key in args.json_keys if len(row[key]) > 0}  # an empty text leaves no trace
        tokens = {key: tokenizer.encode(text).ids + [eod] * args.append_eod for key, text in texts.items()}
        too_long = args.seq_length is not None and any(len(ids) >= args.seq_length for ids in tokens.values())
        skipped += too_long
        for key, ids in tokens.items():
            if not too_long:
                writers[key].add(ids)
                written += 4 * len(ids)
            writers[key].end_document()  # also of a text that was too long
        if number % BATCH == 0 and number % args.log_interval == 0:
            elapsed = time.monotonic() - started
            speed = f"{number / elapsed} docs/s, {written / elapsed / 1024 / 1024} MB/s"
            info(LOGGER, f"Processed {number} documents ({speed}).")
    info(LOGGER, f"Skip {skipped} sample exceeded seq-length({args.seq_length})")
    for writer in writers.values():
        writer.finish()


def merge_folder(folder: str, key: str, target: str) -> None:
    found = set()
    for name in os.listdir(folder):
        prefix, extension = os.path.splitext(name)
        if key not in prefix or not os.path.isfile(os.path.join(folder, name)):
            continue
        other = ".bin" if extension == ".idx" else ".idx"
        if not os.path.isfile(os.path.join(folder, prefix) + other):
            raise FileNotFoundError(f"{other} file not provided for {os.path.join(folder, prefix)}")
        found.add(os.path.join(folder, prefix))
    if not found:
        raise FileNotFoundError(f"no file name in {folder} contains {key}")
    merge(sorted(found), target)


def merge(prefixes: list[str], target: str) -> None:
    writer = IndexedWriter(target)
    for prefix in prefixes:
        writer.append(prefix)
    writer.finish()


def read_rows(path: str) -> Iterator[dict[str, Any]]:
    if os.path.isdir(path):
        # In the file system's order, and of mixed extensions only the most frequent one.
        names = [name for name in os.listdir(path) if not name.startswith(".") and extension_of(name) in EXTENSIONS]
        kinds = Counter(map(extension_of, names)).most_common(1)
        files = [os.path.join(path, name) for name in names if extension_of(name) == kinds[0][0]]
    else:
        files = [path] if extension_of(path) in EXTENSIONS else []
    if not files:
        raise Exception("unknown local data!")
    for file in files:
        yield from read_file(file)


def extension_of(name: str) -> str:
    return name.rsplit(".", 1)[-1]


def read_file(path: str) -> Iterator[dict[str, Any]]:
    kind = extension_of(path)
    if kind == "parquet":
        yield from read_parquet(path)
        return
    text = Path(path).read_text(encoding="utf-8-sig")
    if kind == "txt":
        lines = text.split("\n")
        yield from ({"text": line} for line in (lines[:-1] if lines[-1] == "" else lines))
    elif kind == "csv":
        yield from csv.DictReader(text.splitlines(keepends=True))
    elif text.lstrip().startswith("["):
        yield from json.loads(text)
    else:
        yield from (json.loads(line) for line in text.split("\n") if line.strip())


def read_parquet(path: str) -> list[dict[str, Any]]:
    try:
        import pyarrow.parquet
    except ImportError:
        sys.exit(f"preprocess_data.py: error: reading {path} needs pyarrow, which is not installed")
    return pyarrow.parquet.read_table(path).to_pylist()


def info(logger: str, text: str) -> None:
    print(f"INFO:{logger}:{text}", file=sys.stderr, flush=True)
