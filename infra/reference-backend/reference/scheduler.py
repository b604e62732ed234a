"""Megatron's OptimizerParamScheduler: learning rate and weight decay, counted in samples."""

import logging
import math
from argparse import Namespace
from typing import Any

from .optimizer import Optimizer

logger = logging.getLogger("megatron.core.optimizer_param_scheduler")

# What a checkpoint's schedule must share with the command line's, in Megatron's words.
SHARED = {
    "max_lr": "learning rate",
    "min_lr": "minimum learning rate",
    "lr_warmup_steps": "warmup iterations",
    "lr_decay_steps": "total number of iterations",
    "lr_decay_style": "learning rate decay style",
    "start_wd": "start weight decay",
    "end_wd": "end weight decay",
    "wd_incr_steps": "total number of weight decay iterations",
    "wd_incr_style": "weight decay incr style",
}


class Scheduler:
    def __init__(self, args: Namespace, optimizer: Optimizer) -> None:
        self.args, self.optimizer = args, optimizer
        decay = (args.lr_decay_iters or args.train_iters) * args.global_batch_size
        warm_up = args.lr_warmup_iters * args.global_batch_size
        self.state: dict[str, Any] = {
            "max_lr": args.lr,
            "lr_warmup_steps": warm_up if args.lr_warmup_fraction is None else args.lr_warmup_fraction * decay,
            "num_steps": 0,
            "lr_decay_style": args.lr_decay_style,
            "lr_decay_steps": decay,
            "min_lr": args.min_lr,
            "start_wd": args.weight_decay,
            "end_wd": args.weight_decay,
            "wd_incr_style": "constant",
            "wd_incr_steps": args.train_iters * args.global_batch_size,
        }
        assert self.state["lr_warmup_steps"] < decay
        self.step(0)

    def step(self, samples: int) -> None:
        self.state["num_steps"] += samples
        self.optimizer.lr = self.learning_rate()
        self.optimizer.weight_decay = self.state["end_wd"]

    def learning_rate(self) -> float:
        state, steps, warm_up = self.state, self.state["num_steps"], self.state["lr_warmup_steps"]
        if warm_up > 0 and steps <= warm_up:
            initial = self.args.lr_warmup_init
            return initial + (state["max_lr"] - initial) * float(steps) / float(warm_up)
        if state["lr_decay_style"] == "constant":
            return state["max_lr"]
        if steps > state["lr_decay_steps"]:
            return state["min_lr"]
        ratio = float(steps - warm_up) / float(state["lr_decay_steps"] - warm_up)
        part = 1.0 - ratio if state["lr_decay_style"] == "linear" else 0.5 * (math.cos(math.pi * ratio) + 1.0)
        return state["min_lr"] + part * (state["max_lr"] - state["min_lr"])

    def load(self, saved: dict[str, Any]) -> None:
        """A schedule that differs from the checkpoint's is refused, unless one of the two is chosen."""
        for key, name in SHARED.items() if not self.args.override_opt_param_scheduler else ():
            own, stored = self.state[key], saved[key]
            assert self.args.use_checkpoint_opt_param_scheduler or own == stored, (
                f"OptimizerParamScheduler: class input value {own} and checkpointvalue {stored} for {name} do not match"
            )
            self.state[key] = stored
            logger.info(f" > using checkpoint value {stored} for {name}")
        self.state["num_steps"] = 0
        self.step(saved["num_steps"])
