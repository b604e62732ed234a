"""Megatron's legacy checkpoint tree: who writes which file, who reads it, and what happens when one is missing."""

import random
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from .logs import print_rank_0
from .model import Stage
from .optimizer import Optimizer, Scheduler
from .parallel import Layout

TRACKER = "latest_checkpointed_iteration.txt"
MODEL, OPTIMIZER = "model_optim_rng.pt", "distrib_optim.pt"


def rank_folder(root: str, iteration: int, tp: int, stage: int, stages: int) -> Path:
    return Path(root, f"iter_{iteration:07d}", f"mp_rank_{tp:02d}_{stage:03d}" if stages > 1 else f"mp_rank_{tp:02d}")


def torch_load(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=False)  # it holds a Namespace, and the file is trusted


class Checkpoints:
    def __init__(
        self, args: Namespace, layout: Layout, stage: Stage, optimizer: Optimizer, scheduler: Scheduler
    ) -> None:
        self.args, self.layout, self.stage = args, layout, stage
        self.optimizer, self.scheduler = optimizer, scheduler

    def folder(self, root: str, iteration: int) -> Path:
        return rank_folder(root, iteration, 0, self.layout.stage, self.layout.stages)

    def save(self, iteration: int, operations: float) -> None:
        """DP rank 0 of each stage writes on its own node; global rank 0 alone the tracker, when all have written."""
        root = self.args.save
        print_rank_0(f"saving checkpoint at iteration {iteration:7d} to {root} in torch format")
        if self.layout.dp_rank == 0:
            folder = self.folder(root, iteration)
            folder.mkdir(parents=True, exist_ok=True)
            if not self.args.no_save_optim:
                tensors = {**self.optimizer.buffers(), "numel_unpadded": self.optimizer.size}
                state = {"buckets_coalesced": True, 0: {(self.args.params_dtype, torch.float32): tensors}}
                torch.save(state, folder / OPTIMIZER)
            torch.save(self.state(iteration, operations), folder / MODEL)
        dist.barrier()
        if self.layout.rank == 0:
            Path(root, TRACKER).write_text(str(iteration))
        print_rank_0(f"  successfully saved checkpoint from iteration {iteration:7d} to {root}")
        dist.barrier()

    def state(self, iteration: int, operations: float) -> dict[str, Any]:
        state: dict[str, Any] = {"args": self.args, "checkpoint_version": 3.0, "iteration": iteration, "model": {}}
        for name, tensor in self.stage.state_dict().items():
            state["model"][name] = tensor
            if "linear_" in name or name.startswith("output_layer"):
                state["model"][name.replace("weight", "_extra_state")] = None  # Megatron's matrices have one, empty
        if self.layout.last:
            state["model"]["output_layer._extra_state"] = None  # a tied output layer even without a matrix
        if not self.args.no_save_optim:
            state["optimizer"] = {"optimizer": {"param_groups": self.optimizer.param_groups()}}
            state["opt_param_scheduler"] = self.scheduler.state
        state["rerun_state_machine"] = None
        if not self.args.no_save_rng:
            state["rng_state"] = [rng_state()]
        return {**state, "num_floating_point_operations_so_far": operations}

    def load(self) -> tuple[int, float]:
        """(iteration, operations so far). Every rank reads the tracker of its own node."""
        args, root = self.args, self.args.load
        tracker = Path(root, TRACKER)
        if not tracker.is_file():
            print_rank_0(f"WARNING: could not find the metadata file {tracker}")
            print_rank_0("    will not load any checkpoints and will start from random")
            if args.exit_on_missing_checkpoint:
                print_rank_0(">> '--exit-on-missing-checkpoint' set ... exiting. <<")
                dist.barrier()
                sys.exit()
            return 0, 0.0
        iteration = self.read_tracker(tracker)
        folder = self.folder(root, iteration)
        list(folder.parent.iterdir())  # a missing folder is an error, a missing file is not
        print_rank_0(f" loading checkpoint from {root} at iteration {iteration}")
        try:
            state = torch_load(folder / MODEL)
        except Exception as error:
            print(f"could not load the checkpoint\n{error}", flush=True)
            sys.exit()  # with 0, as Megatron does
        if "args" in state and not args.finetune:
            for name in ("num_layers", "hidden_size", "num_attention_heads", "pipeline_model_parallel_size"):
                saved, own = getattr(state["args"], name), getattr(args, name)
                assert saved == own, (
                    f"{name} value from checkpoint ({saved}) is not equal to the input argument value ({own})."
                )
            args.consumed_train_samples = getattr(state["args"], "consumed_train_samples", 0)
        else:
            print_rank_0("could not find arguments in the checkpoint ...")
        print_rank_0(f" checkpoint version {state['checkpoint_version']}")
        weights = {name: tensor for name, tensor in state["model"].items() if not name.endswith("_extra_state")}
        self.stage.load_state_dict(weights)
        self.optimizer.read_model()
        if not (args.finetune or args.no_load_optim):
            self.load_optimizer(state, folder / OPTIMIZER)
        if not (args.finetune or args.no_load_rng):
            load_rng(state.get("rng_state"), folder)
        resumed, operations = state["iteration"], state.get("num_floating_point_operations_so_far", 0.0)
        if args.finetune:
            resumed, operations = 0, 0.0
        dist.barrier()
        where = f"[ t 1/1, p {self.layout.stage + 1}/{self.layout.stages} ]"
        print_rank_0(f"  successfully loaded checkpoint from {root} {where} at iteration {resumed}")
        return resumed, operations

    def read_tracker(self, path: Path) -> int:
        try:
            iteration = int(path.read_text())
        except ValueError:
            print_rank_0(f"ERROR: Invalid metadata file {path}. Exiting")
            sys.exit()
        assert iteration > 0, f"error parsing metadata file {path}"
        newest = torch.tensor([iteration])
        dist.all_reduce(newest, op=dist.ReduceOp.MAX)
        if iteration != int(newest):
            what = f"found iteration {iteration} in the metadata while max iteration across the ranks is {int(newest)}"
            print(f"WARNING: on rank {self.layout.rank} {what}, replacing it with max iteration.", flush=True)
        return int(newest)

    def load_optimizer(self, state: dict[str, Any], path: Path) -> None:
        """DP rank 0 reads the file and hands it to the others of its stage."""
        try:
            self.optimizer.step_count = int(state["optimizer"]["optimizer"]["param_groups"][0]["step"])
            if self.layout.dp_rank == 0:
                (tensors,) = torch_load(path)[0].values()
            for name, buffer in self.optimizer.buffers().items():
                if self.layout.dp_rank == 0:
                    buffer.copy_(tensors[name])
                dist.broadcast(buffer, self.layout.stage * self.layout.dp_size, group=self.layout.dp_group)
            self.scheduler.load(state["opt_param_scheduler"])
        except KeyError:
            advice = "Specify --no-load-optim or --finetune to prevent attempting to load the optimizer state"
            print_rank_0(f"Unable to load optimizer from checkpoint {path}. {advice}, exiting ...")
            raise
        self.optimizer.write_model()


def rng_state() -> dict[str, Any]:
    """Nothing here draws from these (no dropout); they are kept because Megatron's loader asks for them."""
    current = torch.get_rng_state()
    return {
        "random_rng_state": random.getstate(),
        "np_rng_state": np.random.get_state(),
        "torch_rng_state": current,
        "cuda_rng_state": current,
        "rng_tracker_states": {f"{name}-parallel-rng": current for name in ("data", "model", "expert")},
    }


def load_rng(saved: Any, folder: Path) -> None:
    if saved is None:
        advice = "Specify --no-load-rng or --finetune to prevent attempting to load the rng state"
        print_rank_0(f"Unable to load rng state from checkpoint {folder}. {advice}, exiting ...")
        sys.exit()
    random.setstate(saved[0]["random_rng_state"])
    np.random.set_state(saved[0]["np_rng_state"])
    torch.set_rng_state(saved[0]["torch_rng_state"])
