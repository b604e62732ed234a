"""Hugging Face tokenizers' encode_batch between pyarrow."""
import sys

import numpy
import pyarrow.parquet
from tokenizers import Tokenizer

from megatron_index import end_of_document, write_index

source, tokenizer_dir, out = sys.argv[1:]
tokenizer = Tokenizer.from_file(f"{tokenizer_dir}/tokenizer.json")
eod = tokenizer.token_to_id(end_of_document(tokenizer_dir))
lengths = []
with open(f"{out}/out.bin", "wb") as file:
    for batch in pyarrow.parquet.ParquetFile(source).iter_batches(batch_size=1024, columns=["text"]):
        for encoding in tokenizer.encode_batch(batch.column(0).to_pylist()):
            ids = encoding.ids
            ids.append(eod)
            file.write(numpy.array(ids, dtype=numpy.int32).tobytes())
            lengths.append(len(ids))
write_index(f"{out}/out.idx", lengths)
