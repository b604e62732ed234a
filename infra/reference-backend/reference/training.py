"""The life of one rank, from the command line to `[after training is done]`."""

import math
import os
import random
import signal
import socket
import sys
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
from .logs import Stopwatch, log, print_datetime, print_rank_0, print_times, set_up_output
from .model import Stage
from .optimizer import Optimizer, Scheduler
from .parallel import Layout
from .schedule import Pipeline


def pretrain() -> None:
    watch = Stopwatch()
    set_up_output()
    args = arguments.parse_args()
    sigterm = Sigterm(args.exit_signal_handler)
    if args.rank == 0:
        greet(args)
    layout = parallel.initialize(args)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(args.seed)
    print_rank_0(f"time to initialize megatron (seconds): {watch.seconds():.3f}")
    print_datetime("after megatron is initialized")

    watch = Stopwatch()
    print_rank_0("building GPT model ...")
    stage = Stage(args, layout)
    if layout.dp_rank == 0:
        parameters = sum(parameter.numel() for parameter in stage.parameters())
        where = f"(tensor, pipeline) model parallel rank (0, {layout.stage})"
        print(f" > number of parameters on {where}: {parameters}", flush=True)
    optimizer = Optimizer(args, stage, layout)
    scheduler = Scheduler(args, optimizer)
    checkpoints = Checkpoints(args, layout, stage, optimizer, scheduler)
    operations = 0.0
    if args.load is not None:
        loading = Stopwatch()
        args.iteration, operations = checkpoints.load()
        dist.barrier()
        print_times({"load-checkpoint": loading.seconds()})
    print_datetime("after model, optimizer, and learning rate scheduler are built")
    seconds = {"model-and-optimizer-setup": watch.seconds()}

    watch = Stopwatch()
    data = build_data(args, layout)
    print_datetime("after dataloaders are built")
    print_rank_0("done with setup ...")
    print_times({**seconds, "train/valid/test-data-iterators-setup": watch.seconds()})

    print_rank_0("training ...")
    print_datetime("before the start of training step")
    pipeline = Pipeline(args, layout, stage, optimizer, data)
    Training(args, layout, pipeline, scheduler, checkpoints, sigterm, operations).run()


def greet(args: Namespace) -> None:
    print(
        f"using world size: {args.world_size}, data-parallel size: {args.data_parallel_size}, context-parallel size: 1, "
        f"tensor-model-parallel size: 1, pipeline-model-parallel size: {args.pipeline_model_parallel_size}"
    )
    print(f"using {args.params_dtype} for parameters ...")
    arguments.print_args(args)
    print(f"INFO:megatron.core.num_microbatches_calculator:setting number of microbatches to constant {args.num_microbatches}")
    print("> initializing torch distributed ...")


def build_data(args: Namespace, layout: Layout) -> GPTDataset:
    print_rank_0("> building train, validation, and test datasets ...")
    print_rank_0(" > datasets target sizes (minimum size):")
    print_rank_0(f"    train:      {args.train_iters * args.global_batch_size}\n    validation: 0\n    test:       0")
    print_rank_0("> building train, validation, and test datasets for GPT ...")
    log("megatron.core.datasets.indexed_dataset", f"Load the _IndexReader from {args.data_path[0]}.idx")
    data = GPTDataset(args, layout)
    log("megatron.core.datasets.indexed_dataset", f"> total number of sequences: {len(data.data)}")
    print_rank_0("> finished creating GPT datasets ...")
    if args.iteration > 0 and args.consumed_train_samples == 0:  # a checkpoint that does not say, as a converted one
        args.consumed_train_samples = args.iteration * args.global_batch_size
    return data


class Sigterm:
    """With --exit-signal-handler a SIGTERM to any rank ends training on all, after a checkpoint."""

    def __init__(self, enabled: bool) -> None:
        self.enabled, self.received = enabled, False
        if enabled:
            signal.signal(signal.SIGTERM, self.note)

    def note(self, *_: Any) -> None:
        self.received = True

    def anywhere(self) -> bool:
        if not self.enabled:
            return False
        received = torch.tensor([int(self.received)])
        dist.all_reduce(received, op=dist.ReduceOp.MAX)
        return bool(received)


class Training:
    def __init__(
        self,
        args: Namespace,
        layout: Layout,
        pipeline: Pipeline,
        scheduler: Scheduler,
        checkpoints: Checkpoints,
        sigterm: Sigterm,
        operations: float,
    ) -> None:
        self.args, self.layout, self.pipeline, self.scheduler = args, layout, pipeline, scheduler
        self.checkpoints, self.sigterm, self.operations = checkpoints, sigterm, operations
        self.iteration = args.iteration
        self.shortest_step = float(os.environ.get("REFERENCE_STEP_SECONDS", 0))
        self.started = Stopwatch()
        self.window = Stopwatch()
        self.losses: list[float] = []

    def run(self) -> None:
        saved = True
        while self.iteration < self.args.train_iters:
            norm = self.step()
            if self.iteration % self.args.log_interval == 0:
                self.report(norm)
            saved = self.save_if_due()
            reason = self.reason_to_exit()
            if reason is not None:
                if self.args.save is not None and not saved:
                    self.save()
                print_datetime(reason)
                finish()
        print_datetime("after training is done")
        if self.args.save is not None and self.iteration != 0 and self.iteration % self.args.save_interval != 0:
            self.save()
        finish()

    def step(self) -> float:
        watch = Stopwatch()
        args = self.args
        self.pipeline.run(args.consumed_train_samples)
        if args.check_for_nan_in_loss_and_grad:
            self.check_numbers()
        self.pipeline.optimizer.reduce_gradients()
        norm = self.pipeline.optimizer.step()
        self.scheduler.step(args.global_batch_size)
        if self.layout.last:
            self.losses.append(self.pipeline.mean_loss())
        time.sleep(max(0.0, self.shortest_step - watch.seconds()))
        self.iteration += 1
        args.consumed_train_samples += args.global_batch_size
        self.operations += operations_per_step(args)
        return norm

    def check_numbers(self) -> None:
        if self.layout.last and not math.isfinite(float(self.pipeline.losses[0])):
            found, message = float(self.pipeline.losses[0]), "found NaN in local forward loss calculation"
        else:
            found = float(self.pipeline.optimizer.grad.norm())
            message = (
                "found NaN in local grad norm for bucket #0 in backward pass before data-parallel communication collective"
            )
        if not math.isfinite(found):
            where = f"Rank {self.layout.rank}, node {socket.gethostname()}, device {self.layout.local_rank}"
            raise RuntimeError(f"{where}, iteration {self.iteration}: Unexpected result {found} (message='{message}')")

    def report(self, norm: float) -> None:
        milliseconds = self.window.seconds() * 1000 / self.args.log_interval
        self.window = Stopwatch()
        if self.layout.prints_iterations:
            print(
                f" [{datetime.now():%Y-%m-%d %H:%M:%S}] iteration {self.iteration:8d}/{self.args.train_iters:8d} |"
                f" consumed samples: {self.args.consumed_train_samples:12d} |"
                f" elapsed time per iteration (ms): {milliseconds:.1f} |"
                f" learning rate: {self.pipeline.optimizer.lr:.6E} |"
                f" global batch size: {self.args.global_batch_size:5d} |"
                f" lm loss: {sum(self.losses) / len(self.losses):.6E} | loss scale: 1.0 | grad norm: {norm:.3f} |"
                " num zeros: 0 | number of skipped iterations:   0 | number of nan iterations:   0 |",
                flush=True,
            )
        self.losses.clear()

    def save_if_due(self) -> bool:
        due = self.args.save is not None and self.iteration % self.args.save_interval == 0
        if due:
            self.save()
        return due

    def save(self) -> None:
        self.checkpoints.save(self.iteration, self.operations)
        self.window = Stopwatch()

    def reason_to_exit(self) -> "str | None":
        args = self.args
        if self.sigterm.anywhere():
            return "exiting program after receiving SIGTERM."
        if args.exit_duration_in_mins is not None:
            minutes = torch.tensor([self.started.seconds() / 60])
            dist.all_reduce(minutes, op=dist.ReduceOp.MAX)
            if float(minutes) > args.exit_duration_in_mins:
                return f"exiting program after {float(minutes)} minutes"
        if args.exit_interval and self.iteration % args.exit_interval == 0:
            return f"exiting program at iteration {self.iteration}"
        return None


def operations_per_step(args: Namespace) -> float:
    """Megatron's estimate of floating-point operations, for its counter in the checkpoints."""
    projection = args.kv_channels * args.num_attention_heads / args.hidden_size
    attention = (1 + args.num_query_groups / args.num_attention_heads + args.seq_length / args.hidden_size / 2) * projection
    mlp = args.ffn_hidden_size / args.hidden_size * 1.5
    head = args.padded_vocab_size / (2 * args.num_layers * args.hidden_size)
    tokens = args.global_batch_size * args.seq_length
    return 12 * tokens * args.num_layers * args.hidden_size**2 * (attention + mlp + head)


def finish() -> None:
    sys.stdout.flush()
    dist.barrier()
    dist.destroy_process_group()
    sys.exit()
