"""The life of one rank, from the command line to `[after training is done]`."""

import math
import os
import random
import signal
import socket
import time
from argparse import Namespace
from datetime import datetime
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from . import arguments, parallel
from .checkpoint import Checkpoints
from .dataset import GPTDataset
from .logs import Stopwatch, log, print_datetime, print_rank_0, print_times
from .model import Stage
from .optimizer import Optimizer, Scheduler
from .schedule import Pipeline


def pretrain() -> None:
    args = arguments.complete(arguments.parse("pretrain_gpt.py"))
    sigterm = Sigterm(args.exit_signal_handler)
    if args.rank == 0:
        print(f"using world size: {args.world_size}, data-parallel size: {args.data_parallel_size}, ", end="")
        print(f"pipeline-model-parallel size: {args.pipeline_model_parallel_size}")
        arguments.print_args(args)
    layout = parallel.initialize(args)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(args.seed)
    print_datetime("after megatron is initialized")

    watch = Stopwatch()
    print_rank_0("building GPT model ...")
    stage = Stage(args, layout)
    if layout.dp_rank == 0:
        where = f"(tensor, pipeline) model parallel rank (0, {layout.stage})"
        print(f" > number of parameters on {where}: {sum(p.numel() for p in stage.parameters())}", flush=True)
    optimizer = Optimizer(args, stage, layout)
    scheduler = Scheduler(args, optimizer)
    checkpoints = Checkpoints(args, layout, stage, optimizer, scheduler)
    operations = 0.0
    if args.load is not None:
        loading = Stopwatch()
        args.iteration, operations = checkpoints.load()
        dist.barrier()
        print_times(**{"load-checkpoint": loading.seconds()})
    print_datetime("after model, optimizer, and learning rate scheduler are built")
    seconds = {"model-and-optimizer-setup": watch.seconds()}

    watch = Stopwatch()
    wanted = args.train_iters * args.global_batch_size
    print_rank_0("> building train, validation, and test datasets ...\n > datasets target sizes (minimum size):")
    print_rank_0(f"    train:      {wanted}\n    validation: 0\n    test:       0")
    data = GPTDataset(args, layout)
    log("megatron.core.datasets.indexed_dataset", f"> total number of sequences: {len(data.data)}")
    print_rank_0("> finished creating GPT datasets ...")
    if args.iteration > 0 and args.consumed_train_samples == 0:  # a checkpoint that does not say, as a converted one
        args.consumed_train_samples = args.iteration * args.global_batch_size
    print_datetime("after dataloaders are built")
    print_rank_0("done with setup ...")
    print_times(**seconds, **{"train/valid/test-data-iterators-setup": watch.seconds()})

    print_rank_0("training ...")
    print_datetime("before the start of training step")
    Training(args, Pipeline(args, layout, stage, optimizer, data), scheduler, checkpoints, operations).run(sigterm)
    dist.barrier()
    dist.destroy_process_group()


class Sigterm:
    """With --exit-signal-handler a SIGTERM to any rank ends training on all, after a checkpoint."""

    def __init__(self, enabled: bool) -> None:
        self.enabled, self.received = enabled, False
        if enabled:
            signal.signal(signal.SIGTERM, self.note)

    def note(self, *_: Any) -> None:
        self.received = True

    def anywhere(self) -> bool:
        received = torch.tensor([int(self.received)])
        if self.enabled:
            dist.all_reduce(received, op=dist.ReduceOp.MAX)
        return bool(received)


class Training:
    def __init__(
        self, args: Namespace, pipeline: Pipeline, scheduler: Scheduler, checkpoints: Checkpoints, operations: float
    ) -> None:
        self.args, self.pipeline, self.scheduler, self.checkpoints = args, pipeline, scheduler, checkpoints
        self.layout, self.optimizer, self.operations = pipeline.layout, pipeline.optimizer, operations
        self.iteration = args.iteration
        self.shortest_step = float(os.environ.get("REFERENCE_STEP_SECONDS", 0))
        self.window = Stopwatch()  # since the last report or save
        self.losses: list[float] = []

    def run(self, sigterm: Sigterm) -> None:
        args, reason = self.args, ""
        while self.iteration < args.train_iters and not reason:
            norm = self.step()
            if self.iteration % args.log_interval == 0:
                self.report(norm)
            saved = args.save is not None and self.iteration % args.save_interval == 0
            if saved:
                self.save()
            if sigterm.anywhere():
                reason = "exiting program after receiving SIGTERM."
            elif args.exit_interval and self.iteration % args.exit_interval == 0:
                reason = f"exiting program at iteration {self.iteration}"
            if reason and args.save is not None and not saved:
                self.save()
        print_datetime(reason or "after training is done")
        if not reason and args.save is not None and self.iteration != 0 and self.iteration % args.save_interval != 0:
            self.save()

    def step(self) -> float:
        watch, args = Stopwatch(), self.args
        self.pipeline.run(args.consumed_train_samples)
        if args.check_for_nan_in_loss_and_grad:
            self.check_numbers()
        self.optimizer.reduce_gradients()
        norm = self.optimizer.step()
        self.scheduler.step(args.global_batch_size)
        if self.layout.last:
            self.losses.append(self.pipeline.mean_loss())
        time.sleep(max(0.0, self.shortest_step - watch.seconds()))
        self.iteration += 1
        args.consumed_train_samples += args.global_batch_size
        self.operations += operations_per_step(args)
        return norm

    def check_numbers(self) -> None:
        """Each rank looks at its own loss and gradients before they mix with others'."""
        loss, norm = float(self.pipeline.losses[0]), float(self.optimizer.grad.norm())
        if math.isfinite(loss) and math.isfinite(norm):
            return
        found, what = (
            norm,
            "local grad norm for bucket #0 in backward pass before data-parallel communication collective",
        )
        if not math.isfinite(loss):
            found, what = loss, "local forward loss calculation"
        where = f"Rank {self.layout.rank}, node {socket.gethostname()}, device {self.layout.local_rank}"
        raise RuntimeError(
            f"{where}, iteration {self.iteration}: Unexpected result {found} (message='found NaN in {what}')"
        )

    def report(self, norm: float) -> None:
        milliseconds = self.window.seconds() * 1000 / self.args.log_interval
        if self.layout.rank == self.layout.world - 1:
            print(
                f" [{datetime.now():%Y-%m-%d %H:%M:%S}] iteration {self.iteration:8d}/{self.args.train_iters:8d} |"
                f" consumed samples: {self.args.consumed_train_samples:12d} |"
                f" elapsed time per iteration (ms): {milliseconds:.1f} |"
                f" learning rate: {self.optimizer.lr:.6E} |"
                f" global batch size: {self.args.global_batch_size:5d} |"
                f" lm loss: {sum(self.losses) / len(self.losses):.6E} | loss scale: 1.0 | grad norm: {norm:.3f} |"
                " num zeros: 0 | number of skipped iterations:   0 | number of nan iterations:   0 |",
                flush=True,
            )
        self.window = Stopwatch()
        self.losses.clear()

    def save(self) -> None:
        self.checkpoints.save(self.iteration, self.operations)
        self.window = Stopwatch()


def operations_per_step(args: Namespace) -> float:
    """Megatron's estimate of floating-point operations, for its counter in the checkpoints."""
    hidden, heads = args.hidden_size, args.num_attention_heads
    attention = (1.0 + args.num_query_groups / heads + args.seq_length / hidden / 2) * args.kv_channels * heads / hidden
    head = args.padded_vocab_size / (2 * args.num_layers * hidden)
    tokens = args.global_batch_size * args.seq_length
    return 12 * tokens * args.num_layers * hidden**2 * (attention + 1.5 * args.ffn_hidden_size / hidden + head)
