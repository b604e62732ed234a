"""Megatron's .bin/.idx pair. Tokens are int32 when we write; any of Megatron's types when we read."""

import logging
import os
import shutil
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

    def read(self, sequence: int, offset: int = 0, length: int | None = None) -> np.ndarray:
        count = int(self.lengths[sequence]) - offset if length is None else length
        start = int(self.pointers[sequence]) + offset * self.dtype.itemsize
        return np.frombuffer(self.bytes, self.dtype, count, start)


class IndexedWriter:
    """Appends tokens to a .bin; `finish` writes the .idx."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.file = open(prefix + ".bin", "wb")  # noqa: SIM115
        self.lengths: list[int] = []
        self.documents = [0]

    def add(self, tokens: list[int]) -> None:
        self.file.write(np.array(tokens, dtype=np.int32).tobytes())
        self.lengths.append(len(tokens))

    def end_document(self) -> None:
        self.documents.append(len(self.lengths))

    def append(self, prefix: str) -> None:
        other = IndexedDataset(prefix)
        assert other.dtype == np.int32
        self.documents += (len(self.lengths) + other.documents[1:]).tolist()
        self.lengths += other.lengths.tolist()
        with open(prefix + ".bin", "rb") as file:
            shutil.copyfileobj(file, self.file)

    def finish(self) -> None:
        self.file.close()
        lengths = np.array(self.lengths, dtype=np.int32)
        pointers = np.cumsum(lengths, dtype=np.int64) * 4 - lengths * np.int64(4)
        with open(self.prefix + ".idx", "wb") as file:
            file.write(HEADER.pack(MAGIC, 1, 4, len(lengths), len(self.documents)))
            for array in (lengths, pointers, np.array(self.documents, dtype=np.int64)):
                file.write(array.tobytes())
