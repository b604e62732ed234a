"""Megatron's GPTDataset over a .bin/.idx pair: the same samples in the same order, the same index cache."""

import hashlib
import json
import logging
import os
import re
from argparse import Namespace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from . import tokenizer
from .indexed import IndexedDataset
from .parallel import Layout

logger = logging.getLogger("mindspeed_llm.core.datasets.gpt_dataset")


class Batch(NamedTuple):
    """[micro-batch, length] each; the attention mask is [micro-batch, 1, length, length], true where forbidden."""

    tokens: Tensor
    labels: Tensor
    loss_mask: Tensor
    positions: Tensor
    attention_mask: Tensor


class GPTDataset:
    def __init__(self, args: Namespace, layout: Layout) -> None:
        self.args, self.layout = args, layout
        self.eos, self.pad = tokenizer.special_ids(
            args.tokenizer_name_or_path, tokenizer.load(args.tokenizer_name_or_path)
        )
        self.data = IndexedDataset(args.data_path[0])
        matrix = split_matrix(args.split)
        description = describe(args, matrix)
        digest = hashlib.md5(description.encode("utf-8"), usedforsecurity=False).hexdigest()
        folder = Path(args.data_cache_path or Path(args.data_path[0], "cache", "GPTDataset_indices"))
        text, *indices = (
            folder / f"{digest}-GPTDataset-{what}"
            for what in ("description.txt", "document_index.npy", "sample_index.npy", "shuffle_index.npy")
        )
        cached = all(path.is_file() for path in (text, *indices))
        logger.info(f"{'Load' if cached else 'Build and save'} the GPTDataset train indices")
        # Without a shared disk one rank of each node builds the cache, otherwise global rank 0 alone.
        if not cached and (layout.local_rank == 0 if args.no_shared_storage else layout.rank == 0):
            folder.mkdir(parents=True, exist_ok=True)
            text.write_text(description)
            begin, end = (round(edge * float(len(self.data.lengths))) for edge in matrix[0] or (0, 0))
            sequences = np.arange(begin, end, dtype=np.int32)
            wanted = args.train_iters * args.global_batch_size
            for path, array in zip(
                indices, build_index(self.data.lengths, sequences, wanted, args.seq_length, args.seed), strict=True
            ):
                np.save(path, array)
        dist.barrier()
        self.documents, self.starts, self.order = (np.load(path, mmap_mode="r") for path in indices)
        logger.info(f"> total number of samples: {len(self.order)}")

    def sample(self, number: int) -> np.ndarray:
        """The seq_length + 1 tokens of one sample, out of one document or several."""
        number = int(self.order[number])
        (first, start), (last, end) = self.starts[number : number + 2].tolist()
        texts = [self.data[document] for document in self.documents[first : last + 1]]
        texts[-1] = texts[-1][: end + 1]
        texts[0] = texts[0][start:]
        return np.concatenate(texts)

    def micro_batch(self, consumed: int) -> Batch:
        """This rank's rows of the micro-batch that begins when `consumed` samples are used up."""
        size = self.args.micro_batch_size
        start = consumed + self.layout.dp_rank * size
        text = torch.from_numpy(np.stack([self.sample(start + i) for i in range(size)]).astype(np.int64))
        tokens, labels = text[:, :-1].clone(), text[:, 1:].clone()
        loss_mask = (labels != self.pad).float()
        if self.args.eod_mask_loss:
            loss_mask[tokens == self.eos] = 0.0
        positions, attention_mask = self.positions_and_mask(tokens)
        tokens[tokens == self.pad] = 0
        labels[labels == self.pad] = 0
        return Batch(tokens, labels, loss_mask, positions, attention_mask)

    def positions_and_mask(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        length = tokens.shape[1]
        positions = torch.arange(length).expand_as(tokens)
        mask = torch.ones(length, length, dtype=torch.bool).triu(1).expand(len(tokens), 1, length, length)
        ends = tokens.eq(self.eos).long()
        document = ends.cumsum(1) - ends  # an eos belongs to the document that it ends
        if self.args.reset_attention_mask:
            mask = mask | (document.unsqueeze(2) != document.unsqueeze(1)).unsqueeze(1)
        if self.args.reset_position_ids:
            starts = positions * torch.roll(ends, 1, 1)
            starts[:, 0] = 0
            positions = positions - starts.cummax(1).values
        return positions, mask


def describe(args: Namespace, matrix: list[Any]) -> str:
    described = {
        "class": "GPTDataset",
        "dataset_path": args.data_path[0],
        "num_samples": args.train_iters * args.global_batch_size,
        "index_split": "train",
        "random_seed": args.seed,
        "sequence_length": args.seq_length,
        "split": args.split,
        "split_matrix": matrix,
        "tokenizer": {
            "class": "_AutoTokenizer",
            "tokenizer_path": [os.path.abspath(args.tokenizer_name_or_path)],
        },
    }
    return json.dumps(described, indent=4)


def split_matrix(split: str) -> list[Any]:
    parts = [*map(float, re.findall(r"[.0-9]+", split)), 0.0, 0.0][:3]
    edges: list[float] = [0]
    for part in parts:
        edges.append(edges[-1] + part / sum(parts))
    return [[low, high] if high > low else None for low, high in pairwise(edges)]


def build_index(
    lengths: np.ndarray, sequences: np.ndarray, wanted: int, length: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shuffled documents; (document, offset) where each sample of `length` tokens starts; shuffled samples."""
    tokens = int(lengths[sequences].sum())
    epochs = max(1, -(-(wanted * length + 1) // tokens))
    count = (epochs * tokens - 1) // length
    # A last epoch of which little is used is shuffled apart, so that no document of it comes early.
    before_last = ((epochs - 1) * tokens - 1) // length
    apart = epochs > 1 and wanted - before_last < int(0.80 * ((tokens - 1) // length))
    random = np.random.RandomState(seed)
    documents: list[np.ndarray] = [np.tile(sequences, n) for n in ((epochs - 1, 1) if apart else (epochs,))]
    edges = [0, before_last, count] if apart and before_last < count else [0, count]
    samples: list[np.ndarray] = [np.arange(low, high, dtype=np.uint32) for low, high in pairwise(edges)]
    for part in documents + samples:
        random.shuffle(part)
    document_index = np.concatenate(documents)
    # Sample i begins at token i * length of the shuffled text.
    ends = np.cumsum(lengths[document_index], dtype=np.int64)
    starts = np.arange(count + 1, dtype=np.int64) * length
    document = np.searchsorted(ends, starts, side="right")
    offset = starts - (ends - lengths[document_index])[document]
    return document_index, np.stack([document, offset], axis=1).astype(np.int32), np.concatenate(samples)
