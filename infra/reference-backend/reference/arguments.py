"""The scripts' command lines: what is used, what is accepted and ignored, what is refused (see flags.json)."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch

from . import tokenizer

# The kinds of flags.json, in argparse's words.
KINDS: dict[str, dict[str, Any]] = {
    "int": {"type": int},
    "float": {"type": float},
    "str": {},
    "str1": {"nargs": 1},
    "str+": {"nargs": "+"},
    "true": {"action": "store_true"},
    "false": {"action": "store_false"},
}
IGNORED: dict[str, dict[str, Any]] = {"0": {"action": "store_true"}, "1": {}, "*": {"nargs": "*"}, "+": {"nargs": "+"}}


def parse(script: str, given: list[str] | None = None) -> argparse.Namespace:
    flags = json.loads((Path(__file__).parent / "flags.json").read_text())[script]
    # Megatron's parser takes no abbreviations, the two others, plain ones, do.
    parser = argparse.ArgumentParser(prog=script, allow_abbrev=script != "pretrain_gpt.py")
    for flag, (kind, *choices, default) in flags["used"].items():
        options = {**KINDS[kind], "default": default}
        if kind == "false":  # what it turns off
            options["dest"] = flag.replace("--disable-", "add_").replace("--no-", "").replace("-", "_")
        if choices:
            options["choices"] = choices
        # A default that does not work here has to be overruled on the command line.
        required = flag in flags["required"] or bool(choices and default not in choices)
        parser.add_argument(flag, required=required, **options)
    for count, names in flags["ignored"].items():
        parser.add_argument(*names, dest="ignored", default=argparse.SUPPRESS, **IGNORED[count])
    args = parser.parse_args(given, namespace=argparse.Namespace(**flags["recorded"]))
    vars(args).pop("ignored", None)
    return args


def complete(args: argparse.Namespace) -> argparse.Namespace:
    """Checks and derives what Megatron's validate_args checks and derives."""
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
    assert args.lr_warmup_fraction is None or args.lr_warmup_iters == 0, (
        "can only specify one of lr-warmup-fraction and lr-warmup-iters"
    )
    assert not (args.override_opt_param_scheduler and args.use_checkpoint_opt_param_scheduler), (
        "both override and use-checkpoint are set."
    )
    assert not args.enable_hf2mg_convert or any(Path(args.load or "").glob("*.safetensors")), (
        "cannot find safetensor, please check load dir"
    )
    assert args.model_type_hf in (None, "qwen3"), f"--model-type-hf {args.model_type_hf}: only qwen3 works here"
    assert args.save is None or args.save_interval is not None, "--save needs --save-interval"
    args.kv_channels = args.kv_channels or args.hidden_size // args.num_attention_heads
    args.params_dtype = torch.bfloat16 if args.bf16 else torch.float32
    if args.padded_vocab_size is None:
        size, multiple = tokenizer.load(args.tokenizer_name_or_path).get_vocab_size(), args.make_vocab_size_divisible_by
        args.padded_vocab_size = -(-size // multiple) * multiple
    return args


def print_args(args: argparse.Namespace) -> None:
    print("------------------------ MindSpeed-LLM Arguments ------------------------")
    for name, value in sorted(vars(args).items()):
        print(f"  {name} {'.' * (48 - len(name))} {value}")
    print("-------------------- end of MindSpeed-LLM Arguments ---------------------", flush=True)
