"""Megatron's lines, from the ranks that print them there."""

from datetime import datetime

import torch
import torch.distributed as dist


def print_rank_0(text: str) -> None:
    if dist.get_rank() == 0:
        print(text, flush=True)


def print_datetime(what: str) -> None:
    dist.barrier()
    print_rank_0(f"[{what}] datetime: {datetime.now():%Y-%m-%d %H:%M:%S} ")


def print_time(name: str, seconds: float) -> None:
    """The shortest and the longest of all ranks, from the last rank."""
    extremes = torch.tensor([-1000 * seconds, 1000 * seconds])
    dist.all_reduce(extremes, op=dist.ReduceOp.MAX)
    if dist.get_rank() == dist.get_world_size() - 1:
        times = f"({-extremes[0]:.2f}, {extremes[1]:.2f})"
        print(f"(min, max) time across ranks (ms):\n    {(name + ' ').ljust(48, '.')}: {times}", flush=True)
