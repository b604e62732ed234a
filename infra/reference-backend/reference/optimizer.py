"""Adam over one flat buffer a stage, laid out as Megatron's distributed optimizer lays it out.

Every data-parallel rank keeps the whole buffer where Megatron keeps a slice; the numbers and the file are the same.
"""

import math
from argparse import Namespace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .model import Stage
from .parallel import Layout

ALIGNMENT = 64  # parameters start at multiples of this


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
