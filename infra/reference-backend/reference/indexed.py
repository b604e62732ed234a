"""Megatron's .bin/.idx pair. Tokens are int32 when we write; any of Megatron's types when we read."""

import logging
import os
import struct

import numpy as np

logger = logging.getLogger("megatron.core.datasets.indexed_dataset")
MAGIC = b"MMIDIDX\x00\x00"
HEADER = struct.Struct("<9sQBQQ")  # magic, version, code of the token type, sequences, documents and one more
DTYPES = {1: np.uint8, 2: np.int8, 3: np.int16, 4: np.int32, 5: np.int64, 6: np.float64, 7: np.float32, 8: np.uint16}


class IndexedDataset:
    def __init__(self, prefix: str) -> None:
        assert os.path.exists(prefix + ".idx") and os.path.exists(prefix + ".bin"), (
            f"One or both of the .idx and .bin files cannot be found at the path prefix {prefix}"
        )
        index = np.memmap(prefix + ".idx", mode="r")
        magic, _, code, sequences, documents = HEADER.unpack(index[: HEADER.size].tobytes())
        assert magic == MAGIC, f"bad header, cannot read: {prefix}.idx"
        self.dtype = np.dtype(DTYPES[code])
        self.lengths = np.frombuffer(index, np.int32, sequences, HEADER.size)
        self.pointers = np.frombuffer(index, np.int64, sequences, HEADER.size + self.lengths.nbytes)
        self.documents = np.frombuffer(index, np.int64, documents, HEADER.size + 3 * self.lengths.nbytes)
        empty = os.path.getsize(prefix + ".bin") == 0  # cannot be mapped
        self.bytes = np.zeros(0, np.uint8) if empty else np.memmap(prefix + ".bin", mode="r")
        logger.info(f"> total number of sequences: {sequences}")

    def __getitem__(self, sequence: int) -> np.ndarray:
        return np.frombuffer(self.bytes, self.dtype, int(self.lengths[sequence]), int(self.pointers[sequence]))


def write(prefix: str, sequences: list[np.ndarray], documents: list[int]) -> None:
    """`documents` says after how many sequences each document begins, and at last how many there are."""
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int32)
    pointers = np.cumsum(lengths, dtype=np.int64) * 4 - lengths * np.int64(4)
    with open(prefix + ".bin", "wb") as file:
        for sequence in sequences:
            file.write(sequence.astype(np.int32, copy=False).tobytes())
    with open(prefix + ".idx", "wb") as file:
        file.write(HEADER.pack(MAGIC, 1, 4, len(lengths), len(documents)))
        for array in (lengths, pointers, np.array(documents, dtype=np.int64)):
            file.write(array.tobytes())


def merge(prefixes: list[str], target: str) -> None:
    sequences: list[np.ndarray] = []
    documents = [0]
    for part in map(IndexedDataset, prefixes):
        documents += (len(sequences) + part.documents[1:]).tolist()
        sequences += [part[number] for number in range(len(part.lengths))]
    write(target, sequences, documents)
