"""preprocess_data.py: one text, one sequence, one document; one .bin/.idx pair a JSON key."""

import argparse
import csv
import json
import os
import sys
import time
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any, Iterator

from .indexed import IndexedWriter
from .tokenizer import special_ids

EXTENSIONS = ("parquet", "arrow", "csv", "json", "jsonl", "txt")
BATCH = 50  # rows between two looks at --log-interval
IGNORED_SWITCHES = ("--streaming", "--overwrite-cache", "--tokenizer-not-use-fast", "--keep-newlines")
IGNORED_VALUES = (
    *("--handler-name", "--cache-dir", "--workers", "--max-samples", "--seed", "--dataset-impl"),
    *("--make-vocab-size-divisible-by", "--pad-vocab-size-to", "--hf-datasets-params", "--vocab-file", "--merge-file"),
)


def main() -> None:
    args = parse_args()
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


def parse_args() -> Namespace:
    parser = argparse.ArgumentParser(prog="preprocess_data.py")
    parser.add_argument("--input", required=True)
    parser.add_argument("--output-prefix", required=True)
    parser.add_argument("--json-keys", nargs="+", default=["text"])
    parser.add_argument("--append-eod", action="store_true")
    parser.add_argument("--tokenizer-type", default="PretrainedFromHF", choices=["PretrainedFromHF"])
    parser.add_argument("--tokenizer-name-or-path")
    parser.add_argument("--seq-length", type=int)
    parser.add_argument("--n-subs", type=int, default=1)
    parser.add_argument("--log-interval", type=int, default=100)
    parser.add_argument("--merge-group-keys", nargs="+")
    parser.add_argument("--pack", action="store_true")
    for name in IGNORED_SWITCHES:
        parser.add_argument(name, action="store_true", help="no effect here")
    for name in IGNORED_VALUES:
        parser.add_argument(name, help="no effect here")
    return parser.parse_args()


def tokenize_in_pieces(args: Namespace, rows: list[dict[str, Any]]) -> None:
    """As --n-subs does it, one after the other. The real one too names the pieces by replacing in the whole path."""
    name = os.path.basename(args.output_prefix)
    size = len(rows) // args.n_subs
    if size < 1:
        raise ZeroDivisionError(f"{len(rows)} rows cannot be cut into {args.n_subs} pieces")
    starts = range(0, len(rows), size)
    pieces = [
        args.output_prefix.replace(name, f"{number:03d}_of_{len(starts) - 1:03d}_{name}") for number in range(len(starts))
    ]
    for piece, start in zip(pieces, starts):
        tokenize(args, rows[start : start + size], piece)
    for key in args.json_keys:
        parts = [f"{piece}_{key}_document" for piece in pieces]
        merge(parts, f"{args.output_prefix}_{key}_document")
        for part in parts:
            os.remove(part + ".bin")
            os.remove(part + ".idx")


def tokenize(args: Namespace, rows: list[dict[str, Any]], prefix: str) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(os.path.join(args.tokenizer_name_or_path, "tokenizer.json"))
    eod, _ = special_ids(args.tokenizer_name_or_path)
    logger = "mindspeed_llm.tasks.preprocess.data_handler"
    info(logger, f"Vocab size: {tokenizer.get_vocab_size()}")
    info(logger, f"Output prefix: {prefix}")
    writers = {key: IndexedWriter(f"{prefix}_{key}_document") for key in args.json_keys}
    started, written, skipped = time.monotonic(), 0, 0
    for number, row in enumerate(rows, start=1):
        texts = {key: row[key] for key in args.json_keys}
        tokens = {
            key: tokenizer.encode(text).ids + ([eod] if args.append_eod else [])
            for key, text in texts.items()
            if len(text) > 0  # an empty text leaves no trace
        }
        too_long = args.seq_length is not None and any(len(ids) >= args.seq_length for ids in tokens.values())
        skipped += too_long
        for key, ids in tokens.items():
            if not too_long:
                writers[key].add(ids)
                written += 4 * len(ids)
            writers[key].end_document()  # also of a text that was too long
        batches = -(-number // BATCH)
        if (number % BATCH == 0 or number == len(rows)) and batches * BATCH % args.log_interval == 0:
            elapsed = time.monotonic() - started
            speed = f"{batches * BATCH / elapsed} docs/s, {written / elapsed / 1024 / 1024} MB/s"
            info(logger, f"Processed {batches * BATCH} documents ({speed}).")
    info(logger, f"Skip {skipped} sample exceeded seq-length({args.seq_length})")
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
    if kind in ("parquet", "arrow"):
        yield from read_table(path, kind)
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


def read_table(path: str, kind: str) -> Iterator[dict[str, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        sys.exit(f"preprocess_data.py: error: reading {path} needs pyarrow, which is not installed")
    if kind == "parquet":
        yield from pyarrow.parquet.read_table(path).to_pylist()
    else:
        yield from pyarrow.ipc.open_stream(path).read_all().to_pylist()


def info(logger: str, text: str) -> None:
    print(f"INFO:{logger}:{text}", file=sys.stderr, flush=True)
