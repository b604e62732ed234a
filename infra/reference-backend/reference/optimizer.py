"""Adam over one flat buffer a stage, laid out as Megatron's distributed optimizer lays it out, and the lr schedule.

Every data-parallel rank keeps the whole buffer where Megatron keeps a slice; the numbers and the file are the same.
"""

import logging
import math
from argparse import Namespace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .model import Stage
from .parallel import Layout

logger = logging.getLogger("megatron.core.optimizer_param_scheduler")
ALIGNMENT = 64  # parameters start at multiples of this
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


class Optimizer:
    def __init__(self, args: Namespace, stage: Stage, layout: Layout) -> None:
        self.args, self.stage, self.layout = args, stage, layout
        self.spans: dict[nn.Parameter, slice] = {}
        self.size = 0
        for parameter in reversed(list(stage.parameters())):
            self.spans[parameter] = slice(self.size, self.size + parameter.numel())
            self.size += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
        self.param, self.grad, self.exp_avg, self.exp_avg_sq = (torch.zeros(self.size) for _ in range(4))
        self.decays = torch.zeros(self.size, dtype=torch.bool)  # norm weights do not
        for parameter, span in self.spans.items():
            self.decays[span] = parameter.dim() > 1
        shared = stage.shared_weight()
        self.shared_grad = None if shared is None else self.grad[self.spans[shared]]
        self.step_count = 0
        self.lr = self.weight_decay = 0.0
        self.read_model()

    def buffers(self) -> dict[str, Tensor]:
        return {"param": self.param, "exp_avg": self.exp_avg, "exp_avg_sq": self.exp_avg_sq}

    def read_model(self) -> None:
        for parameter, span in self.spans.items():
            self.param[span] = parameter.data.flatten()

    def write_model(self) -> None:
        for parameter, span in self.spans.items():
            parameter.data.copy_(self.param[span].view_as(parameter))

    def collect_gradients(self) -> None:
        """Adds one micro-batch's gradients, in float32 whatever the model's type."""
        for parameter, span in self.spans.items():
            if parameter.grad is not None:
                self.grad[span] += parameter.grad.flatten()
                parameter.grad = None

    def reduce_gradients(self) -> None:
        self.grad.mul_(1.0 / self.layout.dp_size)
        dist.all_reduce(self.grad, group=self.layout.dp_group)
        if self.shared_grad is not None:
            dist.all_reduce(self.shared_grad, group=self.layout.embedding_group)

    def clip_gradients(self) -> float:
        """The norm over all stages, before clipping; the shared embedding counts once, on the first stage."""
        squares = self.grad.double().pow(2).sum()
        if self.shared_grad is not None and self.layout.last:
            squares -= self.shared_grad.double().pow(2).sum()
        dist.all_reduce(squares, group=self.layout.pp_group)
        norm = float(squares.sqrt())
        if self.args.clip_grad > 0 and norm > self.args.clip_grad:
            self.grad *= self.args.clip_grad / (norm + 1.0e-6)
        return norm

    def step(self) -> float:
        norm = self.clip_gradients()
        self.step_count += 1
        first, second = self.args.adam_beta1, self.args.adam_beta2
        self.param *= torch.where(self.decays, 1 - self.lr * self.weight_decay, 1.0)
        self.exp_avg.mul_(first).add_(self.grad, alpha=1 - first)
        self.exp_avg_sq.mul_(second).addcmul_(self.grad, self.grad, value=1 - second)
        correction = math.sqrt(1 - second**self.step_count)
        denominator = (self.exp_avg_sq.sqrt() / correction).add_(self.args.adam_eps)
        self.param.addcdiv_(self.exp_avg, denominator, value=-self.lr / (1 - first**self.step_count))
        self.grad.zero_()
        self.write_model()
        return norm

    def param_groups(self) -> list[dict[str, Any]]:
        """Megatron's groups, in the order in which the stage's parameters first need them."""
        args = self.args
        own = {"max_lr": args.lr, "min_lr": args.min_lr, "lr": self.lr, "betas": (args.adam_beta1, args.adam_beta2)}
        groups = []
        for multiplier in dict.fromkeys(float(parameter.dim() > 1) for parameter in self.stage.parameters()):
            kind = {"wd_mult": multiplier, "lr_mult": 1.0, "is_expert_parallel": False, "is_decoupled_lr": False}
            rest = {"eps": args.adam_eps, "weight_decay": self.weight_decay * multiplier, "amsgrad": False}
            groups.append({**kind, **own, **rest, "maximize": False, "step": torch.tensor(self.step_count)})
        return groups


class Scheduler:
    """Megatron's OptimizerParamScheduler: learning rate and weight decay, counted in samples."""

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
