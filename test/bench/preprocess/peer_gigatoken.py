"""
gigatoken between pyarrow, on one thread: of texts as bytes or strings, on one thread or several, this took the least CPU
(it refuses an awkward array of what pyarrow reads). Ids never become Python objects.
"""
import sys

import awkward
import numpy
import pyarrow
import pyarrow.parquet
from gigatoken import Tokenizer

from megatron_index import end_of_document, write_index

source, tokenizer_dir, out = sys.argv[1:]
tokenizer = Tokenizer(f"{tokenizer_dir}/tokenizer.json")
eod = int(tokenizer.encode(end_of_document(tokenizer_dir))[0])
lengths = []
with open(f"{out}/out.bin", "wb") as file:
    for batch in pyarrow.parquet.ParquetFile(source).iter_batches(batch_size=4096, columns=["text"]):
        encoded = tokenizer.encode_batch(batch.column(0).cast(pyarrow.binary()).to_pylist(), parallel=False)
        counts = awkward.to_numpy(awkward.num(encoded)).astype(numpy.int64)
        ids = awkward.to_numpy(awkward.flatten(encoded))
        # One place more for each document, at its end.
        ends = numpy.cumsum(counts + 1) - 1
        tokens = numpy.empty(len(ids) + len(counts), dtype=numpy.int32)
        inside = numpy.ones(len(tokens), dtype=bool)
        inside[ends] = False
        tokens[inside] = ids
        tokens[ends] = eod
        file.write(tokens.data)
        lengths.append(counts + 1)
write_index(f"{out}/out.idx", numpy.concatenate(lengths))
