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


def print_times(seconds: dict[str, float]) -> None:
    """Shortest and longest time over all ranks, from the last rank."""
    values = torch.tensor([[-1000 * value, 1000 * value] for value in seconds.values()])
    dist.all_reduce(values, op=dist.ReduceOp.MAX)
    if dist.get_rank() == dist.get_world_size() - 1:
        lines = ["(min, max) time across ranks (ms):"]
        for name, (low, high) in zip(seconds, values.tolist(), strict=True):
            lines.append(f"    {(name + ' ').ljust(48, '.')}: ({-low:.2f}, {high:.2f})")
        print("\n".join(lines), flush=True)
