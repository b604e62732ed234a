"""One training step over the pipeline: 1F1B (one forward, one backward in turn) with point-to-point sends."""

from argparse import Namespace
from collections import deque
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from .dataset import Batch, GPTDataset
from .model import Stage
from .optimizer import Optimizer
from .parallel import Layout


class Pipeline:
    def __init__(self, args: Namespace, layout: Layout, stage: Stage, optimizer: Optimizer, data: GPTDataset) -> None:
        self.args, self.layout, self.stage, self.optimizer, self.data = args, layout, stage, optimizer, data
        self.hidden_shape = (args.micro_batch_size, args.seq_length, args.hidden_size)
        self.previous, self.next = layout.rank - layout.dp_size, layout.rank + layout.dp_size
        self.in_flight: deque[tuple[Tensor | None, Tensor]] = deque()  # input and output between forward and backward
        self.sends: list[tuple[Any, Tensor]] = []
        self.losses = torch.zeros(2)  # sum over tokens, number of tokens

    def run(self, consumed: int) -> None:
        """Leaves the gradients of one global batch in the optimizer and the losses in `losses`."""
        count = self.args.num_microbatches
        warm_up = min(self.layout.stages - self.layout.stage - 1, count)
        self.losses.zero_()
        for i in range(count):
            self.forward(self.data.micro_batch(consumed + i * self.args.micro_batch_size * self.layout.dp_size))
            if i >= warm_up:
                self.backward()
        for _ in range(warm_up):
            self.backward()
        for work, _ in self.sends:
            work.wait()
        self.sends.clear()

    def forward(self, batch: Batch) -> None:
        received = None if self.layout.first else self.receive(self.previous).requires_grad_()
        output = self.stage(batch.tokens if received is None else received, batch.positions, batch.attention_mask)
        if self.layout.last:
            output = self.loss(output, batch)
        else:
            self.send(output.detach(), self.next)
        self.in_flight.append((received, output))

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        losses = F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), reduction="none")
        mask = batch.loss_mask.flatten()
        total = (losses * mask).sum()
        self.losses += torch.stack([total.detach(), mask.sum()])
        return total / mask.sum() / self.args.num_microbatches

    def backward(self) -> None:
        received, output = self.in_flight.popleft()
        output.backward(None if self.layout.last else self.receive(self.next))
        self.optimizer.collect_gradients()
        if received is not None:
            assert received.grad is not None
            self.send(received.grad, self.previous)

    def send(self, tensor: Tensor, rank: int) -> None:
        # Not waited for here: two neighbours that send to each other and wait would wait forever.
        tensor = tensor.contiguous()
        self.sends.append((dist.isend(tensor, rank), tensor))

    def receive(self, rank: int) -> Tensor:
        tensor = torch.empty(self.hidden_shape, dtype=self.args.params_dtype)
        dist.recv(tensor, rank)
        return tensor

    def mean_loss(self) -> float:
        """Over all tokens of the global batch; on the last stage."""
        totals = self.losses.clone()
        dist.all_reduce(totals, group=self.layout.dp_group)
        return float(totals[0] / totals[1])
