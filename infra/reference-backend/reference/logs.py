"""Megatron's lines, from the ranks that print them there."""

import sys
import time
from datetime import datetime
from typing import Any

import torch
import torch.distributed as dist


def print_rank_0(*text: Any) -> None:
    if dist.get_rank() == 0:
        print(*text, flush=True)


def log(logger: str, text: str) -> None:
    print_rank_0(f"INFO:{logger}:{text}")


def print_datetime(what: str) -> None:
    dist.barrier()
    print_rank_0(f"[{what}] datetime: {datetime.now():%Y-%m-%d %H:%M:%S} ")


def print_times(seconds: dict[str, float]) -> None:
    """Shortest and longest time over all ranks, from the last rank."""
    values = torch.tensor([[-value, value] for value in seconds.values()], dtype=torch.float64) * 1000
    dist.all_reduce(values, op=dist.ReduceOp.MAX)
    if dist.get_rank() == dist.get_world_size() - 1:
        lines = ["(min, max) time across ranks (ms):"]
        for name, (low, high) in zip(seconds, values.tolist()):
            lines.append(f"    {(name + ' ').ljust(48, '.')}: ({-low:.2f}, {high:.2f})")
        print("\n".join(lines), flush=True)


class Stopwatch:
    def __init__(self) -> None:
        self.start = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self.start


def set_up_output() -> None:
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
