"""Ranks and process groups: data parallel within a stage, stages in blocks of ranks (Megatron's tp-cp-ep-dp-pp)."""

import os
from argparse import Namespace
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist


class Layout:
    """Joins this rank to the others; where it stands, and the groups that it is in."""

    def __init__(self, args: Namespace) -> None:
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(1)  # summation order, hence every printed digit, must not depend on the machine
        for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "6000"}.items():
            os.environ.setdefault(name, value)
        seconds = os.environ.get("REFERENCE_PG_TIMEOUT_SECONDS", 60 * args.distributed_timeout_minutes)
        self.timeout = timedelta(seconds=float(seconds))
        dist.init_process_group("gloo", timeout=self.timeout)
        self.rank, self.world, self.local_rank = args.rank, args.world_size, args.local_rank
        self.stages, self.dp_size = args.pipeline_model_parallel_size, args.data_parallel_size
        self.stage, self.dp_rank = divmod(self.rank, self.dp_size)
        self.first, self.last = self.stage == 0, self.stage == self.stages - 1
        ranks = torch.arange(self.world).view(self.stages, self.dp_size)
        self.dp_group = self.own_group(ranks)
        self.pp_group = self.own_group(ranks.T)
        self.embedding_group = self.own_group(ranks[:: max(1, self.stages - 1)].T)  # of the first and the last stage

    def own_group(self, rows: torch.Tensor) -> Any:
        """One group a row; every rank has to create all of them, in one order."""
        groups = {tuple(row): dist.new_group(row, timeout=self.timeout) for row in rows.tolist()}
        return next((group for row, group in groups.items() if self.rank in row), None)
