"""The command line of pretrain_gpt.py: what is used, what is accepted and ignored, what is refused."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch

from .tokenizer import padded_vocab_size

TYPES: dict[str, type] = {"int": int, "float": float, "str": str}
# Not read off the command line, but part of Megatron's `args` in every checkpoint.
RECORDED = {
    "add_position_embedding": True,
    "consumed_train_samples": 0,
    "consumed_valid_samples": 0,
    "fp16": False,
    "iteration": 0,
    "num_floating_point_operations_so_far": 0,
    "skipped_train_samples": 0,
    "vocab_size": None,
}


def parse_args() -> argparse.Namespace:
    flags = json.loads((Path(__file__).parent / "flags.json").read_text())
    parser = argparse.ArgumentParser(prog="pretrain_gpt.py", description="MindSpeed-LLM Arguments")
    for flag, (kind, default) in {**flags["used"], **flags["fixed"]}.items():
        add_option(parser, flag, kind, default)
    ignored = argparse.Namespace()
    for count, names in flags["ignored"].items():
        for name in names:
            parser.add_argument(name, action=Ignored, nargs=0 if count == "0" else None if count == "1" else count)
    args = parser.parse_args(namespace=ignored)
    for flag, (_, only) in flags["fixed"].items():
        if getattr(args, dest(flag)) != only:
            parser.error(f"argument {flag}: the reference backend supports {only} only")
    for flag in flags["required"]:
        if getattr(args, dest(flag)) == flags["used"][flag][1]:
            parser.error(f"argument {flag}: the reference backend works with it only")
    complete(parser, args)
    return args


def add_option(parser: argparse.ArgumentParser, flag: str, kind: str, default: Any) -> None:
    if kind in ("true", "false"):
        parser.add_argument(flag, dest=dest(flag), action=f"store_{kind}", default=default)
    else:
        nargs = kind[-1] if kind[-1] in "*+" else None
        parser.add_argument(flag, dest=dest(flag), type=TYPES[kind.rstrip("*+")], nargs=nargs, default=default)


def dest(flag: str) -> str:
    renamed = {
        "--disable-bias-linear": "add_bias_linear",
        "--no-check-for-nan-in-loss-and-grad": "check_for_nan_in_loss_and_grad",
    }
    return renamed.get(flag, flag[2:].replace("-", "_"))


class Ignored(argparse.Action):
    def __init__(self, option_strings: list[str], dest: str, nargs: Any = None) -> None:
        super().__init__(option_strings, dest, nargs=nargs, default=argparse.SUPPRESS)

    def __call__(self, *_: Any) -> None:
        return None


def complete(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Derives what Megatron's validate_args derives, with its checks."""
    for name in ("num_layers", "hidden_size", "num_attention_heads", "max_position_embeddings", "micro_batch_size"):
        if getattr(args, name) is None:
            raise AssertionError(f"{name} argument is None")
    for name in ("seq_length", "train_iters", "lr", "data_path", "split", "tokenizer_name_or_path"):
        if getattr(args, name) is None:
            parser.error(f"argument --{name.replace('_', '-')}: the reference backend needs a value")
    if len(args.data_path) != 1:
        parser.error("argument --data-path: the reference backend reads one prefix only")
    if args.lr_decay_style not in ("cosine", "linear", "constant"):
        parser.error(f"argument --lr-decay-style: not supported: {args.lr_decay_style}")
    args.rank = int(os.environ.get("RANK", 0))
    args.local_rank = int(os.environ.get("LOCAL_RANK", 0))
    args.world_size = int(os.environ.get("WORLD_SIZE", 1))
    stages = args.pipeline_model_parallel_size
    assert args.world_size % stages == 0, f"world size ({args.world_size}) is not divisible by {stages}"
    assert args.num_layers % stages == 0, "Number of layers should be divisible by the pipeline-model-parallel size"
    args.data_parallel_size = args.world_size // stages
    if args.global_batch_size is None:
        args.global_batch_size = args.micro_batch_size * args.data_parallel_size
    per_step = args.micro_batch_size * args.data_parallel_size
    assert args.global_batch_size % per_step == 0, (
        f"global batch size ({args.global_batch_size}) is not divisible by micro batch size "
        f"({args.micro_batch_size}) times data parallel size ({args.data_parallel_size})"
    )
    args.num_microbatches = args.global_batch_size // per_step
    assert args.seq_length <= args.max_position_embeddings
    assert args.min_lr <= args.lr
    assert args.save is None or args.save_interval is not None, "--save needs --save-interval"
    args.ffn_hidden_size = args.ffn_hidden_size or 4 * args.hidden_size
    args.kv_channels = args.kv_channels or args.hidden_size // args.num_attention_heads
    assert args.num_attention_heads % args.num_query_groups == 0
    args.params_dtype = torch.bfloat16 if args.bf16 else torch.float32
    for name, value in RECORDED.items():
        setattr(args, name, value)
    args.padded_vocab_size = args.padded_vocab_size or padded_vocab_size(args)


def print_args(args: argparse.Namespace) -> None:
    print("------------------------ MindSpeed-LLM Arguments ------------------------")
    for name, value in sorted(vars(args).items()):
        print(f"  {name} {'.' * (48 - len(name))} {value}")
    print("-------------------- end of MindSpeed-LLM Arguments ---------------------")
