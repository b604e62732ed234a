"""--enable-hf2mg-convert: published weights in --load are converted at every launch, as MindSpeed-LLM 26.0.0 does."""

import logging
import os
import socket
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch.distributed as dist

from convert_ckpt_v2 import to_megatron

from . import arguments
from .parallel import Layout


def convert(args: Namespace, layout: Layout) -> None:
    """By rank 0 where storage looks shared, else by the first rank of each node; then `args.load` is the result."""
    stages = args.pipeline_model_parallel_size
    root = args.mg_save_dir or str(Path(args.load, f"megatron_cache_tp1pp{stages}ep1"))
    os.makedirs(root, exist_ok=True)
    shared = is_shared(root, layout)
    if layout.rank == 0 if shared else layout.local_rank == 0:
        found = "unconverted weights" if shared else "non-shared storage"
        logging.info(f"[Convert] Detected {found}, starting conversion")
        given = ["--load-model-type", "hf", "--save-model-type", "mg", "--load-dir", args.load, "--save-dir", root]
        to_megatron(arguments.parse("convert_ckpt_v2.py", [*given, "--target-pipeline-parallel-size", str(stages)]))
    dist.barrier()
    args.load = root


def is_shared(root: str, layout: Layout) -> bool:
    """One host name, or marks of other hosts: a node that shares with some and not with others is taken for shared."""
    names: list[Any] = [None] * layout.world
    dist.all_gather_object(names, socket.gethostname())
    if len(set(names)) == 1:
        return True
    mark = Path(root, f".share_test_{socket.gethostname()}")
    if layout.local_rank == 0:
        mark.touch()
    dist.barrier()
    seen: list[Any] = [None] * layout.world
    dist.all_gather_object(seen, len(list(Path(root).glob(".share_test_*"))))
    dist.barrier()
    if layout.local_rank == 0:
        mark.unlink(missing_ok=True)
    dist.barrier()
    return max(seen) > 1
