"""Megatron's `.idx` of int32 sequences, each a document."""
import struct

import numpy


def write_index(path, lengths):
    lengths = numpy.asarray(lengths, dtype=numpy.int32)
    pointers = numpy.zeros(len(lengths), dtype=numpy.int64)
    numpy.cumsum(lengths[:-1], dtype=numpy.int64, out=pointers[1:])
    with open(path, "wb") as file:
        file.write(b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, 4, len(lengths), len(lengths) + 1))
        file.write(lengths.tobytes())
        file.write((pointers * 4).tobytes())
        file.write(numpy.arange(len(lengths) + 1, dtype=numpy.int64).tobytes())


def end_of_document(tokenizer_dir):
    """Text of the tokenizer's own end-of-sequence token."""
    import json

    with open(f"{tokenizer_dir}/tokenizer_config.json", encoding="utf-8") as file:
        token = json.load(file)["eos_token"]
    return token if isinstance(token, str) else token["content"]
