"""Megatron's legacy checkpoint tree: who writes which file, who reads it, and what happens when one is missing."""

import inspect
import os
import random
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from .logs import Stopwatch, log, print_rank_0, print_times
from .model import Stage
from .optimizer import Optimizer, Scheduler
from .parallel import Layout

TRACKER = "latest_checkpointed_iteration.txt"


def rank_folder(root: str, iteration: int, stage: int, stages: int) -> str:
    name = f"mp_rank_00_{stage:03d}" if stages > 1 else "mp_rank_00"
    return os.path.join(root, f"iter_{iteration:07d}", name)


def torch_load(path: str) -> Any:
    # Newer torch refuses argparse.Namespace unless told that the file is trusted.
    trusted = {"weights_only": False} if "weights_only" in inspect.signature(torch.load).parameters else {}
    return torch.load(path, map_location="cpu", **trusted)


class Checkpoints:
    def __init__(self, args: Namespace, layout: Layout, stage: Stage, optimizer: Optimizer, scheduler: Scheduler) -> None:
        self.args, self.layout, self.stage = args, layout, stage
        self.optimizer, self.scheduler = optimizer, scheduler

    def save(self, iteration: int, operations: float) -> None:
        """DP rank 0 of each stage writes on its own node; global rank 0 alone writes the tracker, when all have written."""
        watch = Stopwatch()
        root = self.args.save
        print_rank_0(f"saving checkpoint at iteration {iteration:7d} to {root} in torch format")
        folder = rank_folder(root, iteration, self.layout.stage, self.layout.stages)
        if self.layout.dp_rank == 0:
            os.makedirs(folder, exist_ok=True)
            if not self.args.no_save_optim:
                torch.save(self.optimizer_state(), os.path.join(folder, "distrib_optim.pt"))
            torch.save(self.model_state(iteration, operations), os.path.join(folder, "model_optim_rng.pt"))
        dist.barrier()
        if self.layout.rank == 0:
            Path(root, TRACKER).write_text(str(iteration))
        print_rank_0(f"  successfully saved checkpoint from iteration {iteration:7d} to {root}")
        dist.barrier()
        print_times({"save-checkpoint": watch.seconds()})
        print(f"finish permission set for files in {root}", flush=True)

    def model_state(self, iteration: int, operations: float) -> dict[str, Any]:
        state: dict[str, Any] = {
            "args": self.args,
            "checkpoint_version": 3.0,
            "iteration": iteration,
            "model": dict(self.stage.state_dict()),
        }
        if not self.args.no_save_optim:
            state["optimizer"] = {"optimizer": {"param_groups": self.optimizer.param_groups()}}
            state["opt_param_scheduler"] = dict(self.scheduler.state)
        state["rerun_state_machine"] = None
        if not self.args.no_save_rng:
            state["rng_state"] = [rng_state()]
        state["num_floating_point_operations_so_far"] = operations
        return state

    def optimizer_state(self) -> dict[Any, Any]:
        tensors: dict[str, Any] = {**self.optimizer.buffers(), "numel_unpadded": self.optimizer.size}
        return {"buckets_coalesced": True, 0: {(self.args.params_dtype, torch.float32): tensors}}

    def load(self) -> tuple[int, float]:
        """(iteration, operations so far). Every rank reads the tracker of its own node."""
        root = self.args.load
        tracker = os.path.join(root, TRACKER)
        if not os.path.isfile(tracker):
            print_rank_0(f"WARNING: could not find the metadata file {tracker}")
            print_rank_0("    will not load any checkpoints and will start from random")
            if self.args.exit_on_missing_checkpoint:
                print_rank_0(">> '--exit-on-missing-checkpoint' set ... exiting. <<")
                dist.barrier()
                sys.exit()
            return 0, 0.0
        iteration = self.read_tracker(tracker)
        os.listdir(os.path.join(root, f"iter_{iteration:07d}"))  # a missing folder is an error, a missing file is not
        print_rank_0(f" loading checkpoint from {root} at iteration {iteration}")
        folder = rank_folder(root, iteration, self.layout.stage, self.layout.stages)
        try:
            state = torch_load(os.path.join(folder, "model_optim_rng.pt"))
        except Exception as error:
            print(f"could not load the checkpoint\n{error}", flush=True)
            sys.exit()  # with 0, as Megatron does
        if "args" in state and not self.args.finetune:
            self.check_args(state["args"])
            self.args.consumed_train_samples = getattr(state["args"], "consumed_train_samples", 0)
        else:
            print_rank_0("could not find arguments in the checkpoint ...")
        print_rank_0(f" checkpoint version {state['checkpoint_version']}")
        self.load_model(state["model"])
        resumed = 0 if self.args.finetune else state["iteration"]
        if self.args.finetune or self.args.no_load_optim:
            self.optimizer.read_model()
        else:
            self.load_optimizer(state, os.path.join(folder, "distrib_optim.pt"))
        if not (self.args.finetune or self.args.no_load_rng):
            self.load_rng(state)
        dist.barrier()
        where = f"[ t 1/1, p {self.layout.stage + 1}/{self.layout.stages} ]"
        print_rank_0(f"  successfully loaded checkpoint from {root} {where} at iteration {resumed}")
        return resumed, 0.0 if self.args.finetune else state.get("num_floating_point_operations_so_far", 0.0)

    def read_tracker(self, path: str) -> int:
        content = Path(path).read_text().strip()
        try:
            iteration = int(content)
        except ValueError:
            print_rank_0(f"ERROR: Invalid metadata file {path}. Exiting")
            sys.exit()
        assert iteration > 0, f"error parsing metadata file {path}"
        newest = torch.tensor([iteration])
        dist.all_reduce(newest, op=dist.ReduceOp.MAX)
        if iteration != int(newest):
            print(
                f"WARNING: on rank {self.layout.rank} found iteration {iteration} in the metadata while max iteration "
                f"across the ranks is {int(newest)}, replacing it with max iteration.",
                flush=True,
            )
        return int(newest)

    def check_args(self, saved: Namespace) -> None:
        for name in ("num_layers", "hidden_size", "num_attention_heads", "pipeline_model_parallel_size"):
            stored, own = getattr(saved, name), getattr(self.args, name)
            assert stored == own, f"{name} value from checkpoint ({stored}) is not equal to the input argument value ({own})."

    def load_model(self, weights: dict[str, Any]) -> None:
        missing, unexpected = self.stage.load_state_dict(weights, strict=False)
        missing = [key for key in missing if not key.endswith("_extra_state")]
        if missing or unexpected:
            raise RuntimeError(f"Error(s) in loading state_dict: missing {missing}, unexpected {unexpected}")

    def load_optimizer(self, state: dict[str, Any], path: str) -> None:
        try:
            groups = state["optimizer"]["optimizer"]["param_groups"]
            self.optimizer.step_count = int(groups[0]["step"])
            if self.layout.dp_rank == 0:
                (tensors,) = torch_load(path)[0].values()
                for name, buffer in self.optimizer.buffers().items():
                    buffer.copy_(tensors[name])
            if self.layout.dp_size > 1:
                for buffer in self.optimizer.buffers().values():
                    dist.broadcast(buffer, self.layout.stage * self.layout.dp_size, group=self.layout.dp_group)
            self.scheduler.load(state["opt_param_scheduler"])
        except KeyError:
            advice = "Specify --no-load-optim or --finetune to prevent attempting to load the optimizer state"
            print_rank_0(f"Unable to load optimizer from checkpoint {path}. {advice}, exiting ...")
            raise
        self.optimizer.write_model()

    def load_rng(self, state: dict[str, Any]) -> None:
        if "rng_state" not in state:
            advice = "Specify --no-load-rng or --finetune to prevent attempting to load the rng state"
            print_rank_0(f"Unable to load rng state from checkpoint {self.args.load}. {advice}, exiting ...")
            sys.exit()
        saved = state["rng_state"][0]
        random.setstate(saved["random_rng_state"])
        np.random.set_state(saved["np_rng_state"])
        torch.set_rng_state(saved["torch_rng_state"])
        log("megatron.training.checkpointing", "restored the random states")


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
