"""Checkpoints of train_fsdp2.py: the tree of torch.distributed.checkpoint, and who writes and reads what in it.

The tree alone, since torch 1.13 has no such module: each rank's `__<rank>_<i>.distcp` holds its part of the flat
buffers where the real one holds its part of every tensor, in one file instead of up to 16.
"""

import os
import pickle
import shutil
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from .checkpoint import torch_load
from .optimizer import Optimizer, Scheduler
from .parallel import Layout

METADATA = ".metadata"


def part_file(rank: int) -> str:
    return f"__{rank}_0.distcp"


class DistributedCheckpoints:
    def __init__(self, args: Namespace, layout: Layout, optimizer: Optimizer, scheduler: Scheduler) -> None:
        self.args, self.layout, self.optimizer, self.scheduler = args, layout, optimizer, scheduler
        self.root = Path(args.output_dir, "checkpoints")

    def extra_state(self, folder: Path) -> Path:
        return folder / "extra_state" / f"extra_state_rank_{self.layout.rank}.pt"

    def part(self, rank: int) -> slice:
        edges = [self.optimizer.size * edge // self.layout.world for edge in (rank, rank + 1)]
        return slice(*edges)

    def save(self, step: int) -> Path:
        """Every rank writes its own files; rank 0, when all have, the one that makes them a checkpoint."""
        folder, rank = self.root / f"global_step_{step}", self.layout.rank
        extra = self.extra_state(folder)
        extra.parent.mkdir(parents=True, exist_ok=True)
        counted = {"global_step": step, "step_count": self.optimizer.step_count, "lr_scheduler": self.scheduler.state}
        torch.save({**counted, "torch_rng_state": torch.get_rng_state()}, extra)
        own = {name: buffer[self.part(rank)].clone() for name, buffer in self.optimizer.buffers().items()}
        torch.save(own, folder / part_file(rank))
        dist.barrier()
        if rank == 0:
            files = {part_file(other): self.part(other) for other in range(self.layout.world)}
            Path(folder, ".metadata.tmp").write_bytes(pickle.dumps(files))
            os.replace(folder / ".metadata.tmp", folder / METADATA)
        dist.barrier()
        return folder

    def remove_old(self) -> None:
        """By the time of change, oldest first; on each node its own, unless all see one."""
        limit, layout = self.args.save_total_limit, self.layout
        decides = layout.rank == 0 if self.args.data_shared_file_system else layout.local_rank == 0
        if limit and decides:
            folders = [path for path in self.root.iterdir() if path.is_dir()]
            for folder in sorted(folders, key=lambda path: path.stat().st_mtime)[:-limit]:
                shutil.rmtree(folder)

    def load(self, source: str) -> int:
        """Reads the files of all ranks, and of what is not cut its own; the step that they were saved at."""
        folder = Path(source)
        files: dict[str, slice] = pickle.loads((folder / METADATA).read_bytes())
        for name, span in files.items():
            for key, part in torch_load(folder / name).items():
                self.optimizer.buffers()[key][span] = part
        self.optimizer.write_model()
        extra: dict[str, Any] = torch_load(self.extra_state(folder))
        self.optimizer.step_count = extra["step_count"]
        self.scheduler.state.update(extra["lr_scheduler"])
        self.scheduler.step(0)
        torch.set_rng_state(extra["torch_rng_state"])
        dist.barrier()
        return int(extra["global_step"])
