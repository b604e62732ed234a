"""
The calls of MindSpeed-LLM's preprocess_data.py with GeneralPretrainHandler and --append-eod: load_dataset, map over
samples one by one with the transformers tokenizer (whose labels are copied, and dropped), then the index builder.
"""
import sys

import numpy
from datasets import load_dataset
from transformers import AutoTokenizer

from megatron_index import write_index

source, tokenizer_dir, out = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(tokenizer_dir, trust_remote_code=True, use_fast=True, local_files_only=True)


def tokenize(text):
    result = tokenizer(text=text)
    result["labels"] = result["input_ids"].copy()
    return result


def encode(sample):
    encoded = [tokenize(sentence) for sentence in [sample["text"]] if len(sentence) > 0]
    if encoded:
        encoded[-1]["input_ids"].append(tokenizer.eos_token_id)
        encoded[-1]["attention_mask"].append(1)
        encoded[-1]["labels"].append(tokenizer.eos_token_id)
    sample["text"] = [each["input_ids"] for each in encoded]
    return sample


if __name__ == "__main__":
    raw = load_dataset("parquet", data_files=[source], split="train", num_proc=1, cache_dir=f"{out}/cache")
    lengths = []
    with open(f"{out}/out.bin", "wb") as file:
        for batch in raw.map(encode, num_proc=1).iter(batch_size=50):
            for sentences in batch["text"]:
                for sentence in sentences:
                    array = numpy.array(sentence, dtype=numpy.int32)
                    file.write(array.tobytes(order="C"))
                    lengths.append(array.size)
    write_index(f"{out}/out.idx", lengths)
