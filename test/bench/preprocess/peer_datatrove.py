"""datatrove's own pipeline in one task: parquet in, `.bin` and `.idx` out."""
import os
import sys

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.tokens import MegatronDocumentTokenizer

from megatron_index import end_of_document

source, tokenizer_dir, out = sys.argv[1:]

if __name__ == "__main__":
    LocalPipelineExecutor(
        pipeline=[
            ParquetReader(os.path.dirname(source), glob_pattern=os.path.basename(source), doc_progress=False),
            MegatronDocumentTokenizer(
                output_folder=f"{out}/tokens",
                tokenizer_name_or_path=f"{tokenizer_dir}/tokenizer.json",
                eos_token=end_of_document(tokenizer_dir),
            ),
        ],
        tasks=1,
        logging_dir=f"{out}/logs",
    ).run()
    for ending in ("bin", "idx"):
        os.rename(f"{out}/tokens/00000_tokens.{ending}", f"{out}/out.{ending}")
