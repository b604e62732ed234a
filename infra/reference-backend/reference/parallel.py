"""Ranks and process groups: data parallel within a stage, stages in blocks of ranks (Megatron's tp-cp-ep-dp-pp)."""

import os
from argparse import Namespace
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist


@dataclass
class Layout:
    rank: int
    world: int
    local_rank: int
    stage: int
    stages: int
    dp_rank: int
    dp_size: int
    dp_group: Any
    pp_group: Any
    embedding_group: Any  # first and last stage

    @property
    def first(self) -> bool:
        return self.stage == 0

    @property
    def last(self) -> bool:
        return self.stage == self.stages - 1


def initialize(args: Namespace) -> Layout:
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # summation order, hence every printed digit, must not depend on the machine
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "6000"}.items():
        os.environ.setdefault(name, value)
    seconds = os.environ.get("REFERENCE_PG_TIMEOUT_SECONDS")
    timeout = timedelta(seconds=float(seconds)) if seconds else timedelta(minutes=args.distributed_timeout_minutes)
    dist.init_process_group("gloo", timeout=timeout)
    stages, dp_size = args.pipeline_model_parallel_size, args.data_parallel_size
    stage, dp_rank = divmod(args.rank, dp_size)

    def own_group(members: list[list[int]]) -> Any:
        """Every rank creates every group, in one order; returns the one that holds this rank."""
        groups = [dist.new_group(ranks, timeout=timeout) for ranks in members]
        return next((group for ranks, group in zip(members, groups, strict=True) if args.rank in ranks), None)

    columns = [list(range(column, args.world_size, dp_size)) for column in range(dp_size)]
    dp_group = own_group([[s * dp_size + d for d in range(dp_size)] for s in range(stages)])
    pp_group = own_group(columns)
    embedding_group = own_group([sorted({column[0], column[-1]}) for column in columns])
    where = (args.rank, args.world_size, args.local_rank, stage, stages, dp_rank, dp_size)
    return Layout(*where, dp_group, pp_group, embedding_group)
