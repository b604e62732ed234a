"""Pretrains a Qwen3 model on CPU, with the arguments, files and log lines of MindSpeed-LLM's pretrain_gpt.py."""

import logging
import math
import os
import random
import signal
import socket
import sys
import threading
import time
from argparse import Namespace
from datetime import datetime

import numpy as np
import torch
import torch.distributed as dist

from reference import arguments, online
from reference.checkpoint import Checkpoints
from reference.curves import Curves
from reference.dataset import GPTDataset
from reference.logs import print_datetime, print_rank_0, print_time
from reference.model import Stage
from reference.optimizer import Optimizer, Scheduler
from reference.parallel import Layout
from reference.schedule import Pipeline

SIGTERM = threading.Event()  # noted only with --exit-signal-handler


def main() -> None:
    """The life of one rank, from the command line to `[after training is done]`."""
    args = arguments.complete(arguments.parse("pretrain_gpt.py"))
    if args.exit_signal_handler:
        signal.signal(signal.SIGTERM, lambda *_: SIGTERM.set())
    if args.rank == 0:
        print(f"using world size: {args.world_size}, data-parallel size: {args.data_parallel_size}, ", end="")
        print(f"pipeline-model-parallel size: {args.pipeline_model_parallel_size}")
        arguments.print_args(args)
    layout = Layout(args)
    if layout.rank == 0:
        logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(args.seed)
    if args.enable_hf2mg_convert:
        online.convert(args, layout)
    print_datetime("after megatron is initialized")
    Training(args, layout).run()
    dist.barrier()
    dist.destroy_process_group()


class Training:
    def __init__(self, args: Namespace, layout: Layout) -> None:
        self.args, self.layout = args, layout
        self.losses: list[float] = []  # since the last report
        self.norm = math.nan  # of the last step's gradients
        writes = args.tensorboard_dir and layout.rank == layout.world - 1
        self.curves = Curves(args.tensorboard_dir) if writes else None
        self.shortest_step = float(os.environ.get("REFERENCE_STEP_SECONDS", 0))

        print_rank_0("building GPT model ...")
        stage = Stage(args, layout)
        if layout.dp_rank == 0:
            where = f"(tensor, pipeline) model parallel rank (0, {layout.stage})"
            print(f" > number of parameters on {where}: {sum(p.numel() for p in stage.parameters())}", flush=True)
        self.optimizer = Optimizer(args, stage, layout)
        self.scheduler = Scheduler(args, self.optimizer)
        self.checkpoints = Checkpoints(args, layout, stage, self.optimizer, self.scheduler)
        args.iteration, self.operations = self.checkpoints.load() if args.load is not None else (0, 0.0)
        self.iteration = args.iteration
        print_datetime("after model, optimizer, and learning rate scheduler are built")

        print_rank_0("> building train, validation, and test datasets ...")
        self.pipeline = Pipeline(args, layout, stage, self.optimizer, GPTDataset(args, layout))
        print_rank_0("> finished creating GPT datasets ...")
        if args.iteration > 0 and args.consumed_train_samples == 0:  # the checkpoint does not say, as a converted one
            args.consumed_train_samples = args.iteration * args.global_batch_size
        print_datetime("after dataloaders are built")
        print_rank_0("done with setup ...")

    def run(self) -> None:
        args, reason = self.args, ""
        print_rank_0("training ...")
        print_datetime("before the start of training step")
        self.window = time.monotonic()  # since the last report or save
        while self.iteration < args.train_iters and not reason:
            self.step()
            if self.every(args.log_interval):
                self.report()
            saves = args.save is not None and self.every(args.save_interval)
            if args.exit_signal_handler and self.sigterm_anywhere():
                reason = "exiting program after receiving SIGTERM."
            elif self.every(args.exit_interval):
                reason = f"exiting program at iteration {self.iteration}"
            if args.save is not None and (saves or reason):
                self.save()
        print_datetime(reason or "after training is done")
        if args.save is not None and not reason and self.iteration > 0 and not self.every(args.save_interval):
            self.save()

    def every(self, interval: int | None) -> bool:
        return interval is not None and interval > 0 and self.iteration % interval == 0

    def step(self) -> None:
        started, args = time.monotonic(), self.args
        self.pipeline.run(args.consumed_train_samples)
        if args.check_for_nan_in_loss_and_grad:
            self.check_numbers()
        self.optimizer.reduce_gradients()
        self.norm = self.optimizer.step()
        self.scheduler.step(args.global_batch_size)
        if self.layout.last:
            self.losses.append(self.pipeline.mean_loss())
        time.sleep(max(0.0, self.shortest_step - (time.monotonic() - started)))
        self.iteration += 1
        args.consumed_train_samples += args.global_batch_size
        self.operations += operations_per_step(args)

    def check_numbers(self) -> None:
        """Each rank looks at its own loss and gradients before they mix with others'."""
        gradients = "local grad norm for bucket #0 in backward pass before data-parallel communication collective"
        loss, norm = float(self.pipeline.losses[0]), float(self.optimizer.grad.norm())
        for value, what in ((loss, "local forward loss calculation"), (norm, gradients)):
            if not math.isfinite(value):
                where = f"Rank {self.layout.rank}, node {socket.gethostname()}, device {self.layout.local_rank}"
                found = f"Unexpected result {value} (message='found NaN in {what}')"
                raise RuntimeError(f"{where}, iteration {self.iteration}: {found}")

    def sigterm_anywhere(self) -> bool:
        received = torch.tensor([int(SIGTERM.is_set())])
        dist.all_reduce(received, op=dist.ReduceOp.MAX)
        return bool(received)

    def report(self) -> None:
        milliseconds = (time.monotonic() - self.window) * 1000 / self.args.log_interval
        if self.layout.rank == self.layout.world - 1:
            mean = sum(self.losses) / len(self.losses)
            loss = f" lm loss: {mean:.6E} |" if mean > 0 else ""  # Megatron leaves out what is not a number
            print(
                f" [{datetime.now():%Y-%m-%d %H:%M:%S}] iteration {self.iteration:8d}/{self.args.train_iters:8d} |"
                f" consumed samples: {self.args.consumed_train_samples:12d} |"
                f" elapsed time per iteration (ms): {milliseconds:.1f} |"
                f" learning rate: {self.optimizer.lr:.6E} |"
                f" global batch size: {self.args.global_batch_size:5d} |"
                f"{loss} loss scale: 1.0 | grad norm: {self.norm:.3f} |"
                " num zeros: 0 | number of skipped iterations:   0 | number of nan iterations:   0 |",
                flush=True,
            )
            if self.curves:
                scalars = {"lm loss": mean, "learning-rate": self.optimizer.lr, "grad-norm": float(self.norm)}
                self.curves.add(self.iteration, scalars)
        self.losses.clear()
        self.window = time.monotonic()

    def save(self) -> None:
        started = time.monotonic()
        self.checkpoints.save(self.iteration, self.operations)
        print_time("save-checkpoint", time.monotonic() - started)
        print(f"finish permission set for files in {self.args.save}", flush=True)
        self.window = time.monotonic()


def operations_per_step(args: Namespace) -> float:
    """Megatron's estimate of floating-point operations, for its counter in the checkpoints."""
    hidden, heads = args.hidden_size, args.num_attention_heads
    attention = (1.0 + args.num_query_groups / heads + args.seq_length / hidden / 2) * args.kv_channels * heads / hidden
    head = args.padded_vocab_size / (2 * args.num_layers * hidden)
    tokens = args.global_batch_size * args.seq_length
    return 12 * tokens * args.num_layers * hidden**2 * (attention + 1.5 * args.ffn_hidden_size / hidden + head)


if __name__ == "__main__":
    main()
