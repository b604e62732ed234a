"""The scripts' command lines: what is used, what is accepted and ignored, what is refused (see flags.json)."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch

from .tokenizer import padded_vocab_size

TYPES: dict[str, type] = {"int": int, "float": float, "str": str}
RENAMED = {
    "--disable-bias-linear": "add_bias_linear",
    "--no-check-for-nan-in-loss-and-grad": "check_for_nan_in_loss_and_grad",
}


def parse(script: str) -> argparse.Namespace:
    flags = json.loads((Path(__file__).parent / "flags.json").read_text())[script]
    parser = argparse.ArgumentParser(prog=script)
    for flag, (kind, *_, default) in {**flags["used"], **flags["fixed"]}.items():
        if kind in ("true", "false"):
            parser.add_argument(flag, dest=dest(flag), action=f"store_{kind}", default=default)
        else:
            nargs = kind[-1] if kind[-1] in "*+" else None
            parser.add_argument(flag, type=TYPES[kind.rstrip("*+")], nargs=nargs, default=default)
    for count, names in flags.get("ignored", {}).items():
        for name in names:
            nargs = {"0": 0, "1": None}.get(count, count)
            parser.add_argument(name, action=Ignored, nargs=nargs, default=argparse.SUPPRESS)
    args = parser.parse_args(namespace=argparse.Namespace(**flags.get("recorded", {})))
    for flag, (_, only, _) in flags["fixed"].items():
        if getattr(args, dest(flag)) != only:
            parser.error(f"argument {flag}: the reference backend supports {only} only")
    missing = [flag for flag in flags["required"] if getattr(args, dest(flag)) == flags["used"][flag][1]]
    if missing:
        parser.error(f"the following arguments are required by the reference backend: {', '.join(missing)}")
    return args


def dest(flag: str) -> str:
    return RENAMED.get(flag, flag[2:].replace("-", "_"))


class Ignored(argparse.Action):
    def __call__(self, *_: Any) -> None:
        return None


def complete(args: argparse.Namespace) -> argparse.Namespace:
    """Checks and derives what Megatron's validate_args checks and derives."""
    assert len(args.data_path) == 1, "the reference backend reads one data prefix only"
    assert args.lr_decay_style in ("cosine", "linear", "constant"), f"no lr decay style {args.lr_decay_style} here"
    args.rank = int(os.environ.get("RANK", 0))
    args.local_rank = int(os.environ.get("LOCAL_RANK", 0))
    args.world_size = int(os.environ.get("WORLD_SIZE", 1))
    stages = args.pipeline_model_parallel_size
    assert args.world_size % stages == 0, f"world size ({args.world_size}) is not divisible by {stages}"
    assert args.num_layers % stages == 0, "Number of layers should be divisible by the pipeline-model-parallel size"
    args.data_parallel_size = args.world_size // stages
    per_step = args.micro_batch_size * args.data_parallel_size
    args.global_batch_size = args.global_batch_size or per_step
    assert args.global_batch_size % per_step == 0, (
        f"global batch size ({args.global_batch_size}) is not divisible by micro batch size "
        f"({args.micro_batch_size}) times data parallel size ({args.data_parallel_size})"
    )
    args.num_microbatches = args.global_batch_size // per_step
    assert args.seq_length <= args.max_position_embeddings
    assert args.num_attention_heads % args.num_query_groups == 0
    assert args.min_lr <= args.lr
    assert args.save is None or args.save_interval is not None, "--save needs --save-interval"
    args.ffn_hidden_size = args.ffn_hidden_size or 4 * args.hidden_size
    args.kv_channels = args.kv_channels or args.hidden_size // args.num_attention_heads
    args.params_dtype = torch.bfloat16 if args.bf16 else torch.float32
    args.padded_vocab_size = args.padded_vocab_size or padded_vocab_size(args)
    return args


def print_args(args: argparse.Namespace) -> None:
    print("------------------------ MindSpeed-LLM Arguments ------------------------")
    for name, value in sorted(vars(args).items()):
        print(f"  {name} {'.' * (48 - len(name))} {value}")
    print("-------------------- end of MindSpeed-LLM Arguments ---------------------", flush=True)
