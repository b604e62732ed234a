"""Megatron's GPTDataset over a .bin/.idx pair: the same samples in the same order, the same index cache."""

import hashlib
import json
import os
import re
from argparse import Namespace
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from .indexed import IndexedDataset
from .logs import log
from .parallel import Layout
from .tokenizer import special_ids

LOGGER = "mindspeed_llm.core.datasets.gpt_dataset"
KINDS = ("document", "sample", "shuffle")


@dataclass
class Batch:
    tokens: Tensor
    labels: Tensor
    loss_mask: Tensor
    positions: Tensor
    attention_mask: Tensor  # true where attention is forbidden


class GPTDataset:
    def __init__(self, args: Namespace, layout: Layout) -> None:
        self.args, self.layout = args, layout
        self.index: dict[str, np.ndarray] = {}
        self.eos, self.pad = special_ids(args.tokenizer_name_or_path)
        self.data = IndexedDataset(args.data_path[0])
        self.samples_wanted = args.train_iters * args.global_batch_size
        self.matrix = split_matrix(args.split)
        begin, end = (round(edge * float(len(self.data))) for edge in self.matrix[0] or (0, 0))
        self.sequences = np.arange(begin, end, dtype=np.int32)
        # Without a shared disk one rank of each node builds the cache, otherwise global rank 0 alone.
        builds = layout.local_rank == 0 if args.no_shared_storage else layout.rank == 0
        if builds:
            self.build()
        dist.barrier()
        if not builds:
            self.load()

    def cache_path(self, suffix: str) -> Path:
        folder = self.args.data_cache_path or os.path.join(self.args.data_path[0], "cache", "GPTDataset_indices")
        digest = hashlib.md5(self.description().encode("utf-8"), usedforsecurity=False).hexdigest()
        return Path(folder) / f"{digest}-GPTDataset-{suffix}"

    def description(self) -> str:
        described = {
            "class": "GPTDataset",
            "dataset_path": self.args.data_path[0],
            "num_samples": self.samples_wanted,
            "index_split": "train",
            "random_seed": self.args.seed,
            "sequence_length": self.args.seq_length,
            "split": self.args.split,
            "split_matrix": self.matrix,
            "tokenizer": {
                "class": "_AutoTokenizer",
                "tokenizer_path": [os.path.abspath(self.args.tokenizer_name_or_path)],
            },
        }
        return json.dumps(described, indent=4)

    def load(self) -> None:
        log(LOGGER, "Load the GPTDataset train indices")
        for kind in KINDS:
            path = self.cache_path(f"{kind}_index.npy")
            log(LOGGER, f"\tLoad the {kind} index from {path.name}")
            self.index[kind] = np.load(path, allow_pickle=True, mmap_mode="r")
        log(LOGGER, f"> total number of samples: {len(self.index['sample']) - 1}")

    def build(self) -> None:
        names = ["description.txt", *(f"{kind}_index.npy" for kind in KINDS)]
        if all(self.cache_path(name).is_file() for name in names):
            return self.load()
        log(LOGGER, "Build and save the GPTDataset train indices")
        length = self.args.seq_length
        tokens = int(np.sum(self.data.lengths[self.sequences]))
        epochs = max(1, -(-(self.samples_wanted * length + 1) // tokens))
        count = (epochs * tokens - 1) // length
        # A last epoch of which little is used is shuffled apart, so that no document of it comes early.
        before_last = ((epochs - 1) * tokens - 1) // length
        apart = epochs > 1 and self.samples_wanted - before_last < int(0.80 * ((tokens - 1) // length))
        random = np.random.RandomState(self.args.seed)
        documents: list[np.ndarray] = [np.tile(self.sequences, n) for n in ((epochs - 1, 1) if apart else (epochs,))]
        edges = [0, before_last, count] if apart and before_last < count else [0, count]
        samples: list[np.ndarray] = [np.arange(low, high, dtype=np.uint32) for low, high in pairwise(edges)]
        for part in documents + samples:
            random.shuffle(part)
        document_index = np.concatenate(documents)
        starts = sample_starts(self.data.lengths[document_index], count, length)
        self.index = {"document": document_index, "sample": starts, "shuffle": np.concatenate(samples)}
        self.cache_path("").parent.mkdir(parents=True, exist_ok=True)
        self.cache_path("description.txt").write_text(self.description())
        for kind in KINDS:
            np.save(self.cache_path(f"{kind}_index.npy"), self.index[kind])
        log(LOGGER, f"> total number of samples: {count}")
        log(LOGGER, f"> total number of epochs: {epochs}")

    def sample(self, index: int) -> np.ndarray:
        index = int(self.index["shuffle"][index])
        (first, start), (last, end) = self.index["sample"][index : index + 2].tolist()
        documents = self.index["document"][first : last + 1].tolist()
        if first == last:
            return self.data.read(documents[0], start, end - start + 1)
        middle = [self.data.read(document) for document in documents[1:-1]]
        return np.concatenate([self.data.read(documents[0], start), *middle, self.data.read(documents[-1], 0, end + 1)])

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


def split_matrix(split: str) -> list[Any]:
    parts = [*map(float, re.findall(r"[.0-9]+", split)), 0.0, 0.0][:3]
    edges: list[float] = [0]
    for part in parts:
        edges.append(edges[-1] + part / sum(parts))
    return [[low, high] if high > low else None for low, high in pairwise(edges)]


def sample_starts(lengths: np.ndarray, count: int, length: int) -> np.ndarray:
    """(document, offset) where each sample starts: sample i begins at token i * length of the shuffled text."""
    ends = np.cumsum(lengths, dtype=np.int64)
    starts = np.arange(count + 1, dtype=np.int64) * length
    document = np.searchsorted(ends, starts, side="right")
    return np.stack([document, starts - (ends - lengths)[document]], axis=1).astype(np.int32)
