"""Trains a Qwen3 model on CPU, with the arguments, files and log lines of MindSpeed-LLM's train_fsdp2.py.

    torchrun … train_fsdp2.py [CONFIG.yaml] --section.name value …

The small twin of the other backend: text and a Hugging Face model in, a checkpoint tree without a tracker out.
Nothing is cut over ranks in memory; who writes which file, and who needs it to go on, is as there.
"""

import argparse
import json
import logging
import math
import os
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file

import preprocess_data
from convert_ckpt_v2 import EMBEDDING, FINAL_NORM, OUTPUT, State, megatron_layer
from reference.dataset import GPTDataset
from reference.dcp import DistributedCheckpoints
from reference.model import Stage
from reference.optimizer import Optimizer, Scheduler
from reference.parallel import Layout
from reference.schedule import Pipeline

logger = logging.getLogger("mindspeed_llm")


def switch(text: str) -> bool:
    return {"True": True, "False": False}[text]


# What is used, with its type and either what it has to be or, in a list, what it is unless it is said.
USED: dict[str, tuple[Any, Any]] = {
    "model.model_name_or_path": (str, None),
    "model.train_from_scratch": (switch, [False]),
    "data.dataset": (json.loads, None),
    "data.data_manager_type": (str, "mg"),
    "data.cutoff_len": (int, None),
    "data.append_eod": (switch, [False]),
    "data.reset_attention_mask": (switch, [False]),
    "data.no_shared_storage": (switch, [False]),
    "data.data_shared_file_system": (switch, [False]),
    "parallel.fsdp_size": (int, None),
    "training.stage": (str, "pt"),
    "training.output_dir": (str, None),
    "training.max_steps": (int, None),
    "training.per_device_train_batch_size": (int, None),
    "training.gradient_accumulation_steps": (int, None),
    "training.optimizer": (str, "adamw"),
    "training.lr": (float, None),
    "training.min_lr": (float, None),
    "training.lr_scheduler_type": (str, None),
    "training.warmup_ratio": (float, None),
    "training.weight_decay": (float, None),
    "training.adam_beta1": (float, None),
    "training.adam_beta2": (float, None),
    "training.adam_epsilon": (float, None),
    "training.max_grad_norm": (float, None),
    "training.seed": (int, None),
    "training.save_steps": (int, None),
    "training.save_total_limit": (int, [3]),
    "training.save_hf_weights": (switch, False),
    "training.logging_steps": (int, 1),
    "training.resume_from_checkpoint": (str, [None]),
}
# Named after what pretrain_gpt.py calls them, by which the parts of the reference backend know them.
SAME = {
    "data.cutoff_len": "seq_length",
    "training.max_steps": "train_iters",
    "training.per_device_train_batch_size": "micro_batch_size",
    "training.gradient_accumulation_steps": "num_microbatches",
    "training.lr_scheduler_type": "lr_decay_style",
    "training.warmup_ratio": "lr_warmup_fraction",
    "training.adam_epsilon": "adam_eps",
    "training.max_grad_norm": "clip_grad",
}
MODEL = {
    "num_layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "ffn_hidden_size": "intermediate_size",
    "num_attention_heads": "num_attention_heads",
    "num_query_groups": "num_key_value_heads",
    "kv_channels": "head_dim",
    "padded_vocab_size": "vocab_size",
    "rotary_base": "rope_theta",
    "norm_epsilon": "rms_norm_eps",
    "init_method_std": "initializer_range",
}
# Of pretrain_gpt.py, and nothing that can be said here.
FIXED = {"pipeline_model_parallel_size": 1, "distributed_timeout_minutes": 30, "qk_layernorm": True}
DATA = {"split": "100,0,0", "data_cache_path": None, "eod_mask_loss": False, "reset_position_ids": False}
SCHEDULE = {"lr_decay_iters": None, "lr_warmup_iters": 0, "lr_warmup_init": 0.0}


def parse(words: list[str]) -> Namespace:
    """The command line outranks a YAML file before it; what is not used is passed over, with a line in the log."""
    if words and words[0].endswith((".yaml", ".yml")):
        sections = read_yaml(Path(words[0]).read_text())
        words = [word for section in sections for word in said(section, sections[section])] + words[1:]
    parser = argparse.ArgumentParser(prog="train_fsdp2.py", allow_abbrev=False)
    for name, (kind, wanted) in USED.items():
        options: dict[str, Any] = {"default": wanted[0]} if isinstance(wanted, list) else {"required": True}
        if wanted is not None and not isinstance(wanted, list):
            options["choices"] = [wanted]
        parser.add_argument(f"--{name}", type=kind, **options)
    parsed, others = parser.parse_known_args(words)
    given = {SAME.get(name, name.split(".")[1]): value for name, value in vars(parsed).items()}
    return complete(Namespace(**given, **FIXED, **DATA, **SCHEDULE, others=others))


def read_yaml(text: str) -> dict[str, Any]:
    try:
        return json.loads(text)  # which is YAML as well, and needs no other package
    except ValueError:
        import yaml

        return yaml.safe_load(text)


def said(section: str, values: dict[str, Any]) -> list[str]:
    return [
        word
        for name, value in values.items()
        for word in [f"--{section}.{name}", *map(str, value if isinstance(value, list) else [written(value)])]
    ]


def written(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)


def complete(args: Namespace) -> Namespace:
    args.rank, args.local_rank = int(os.environ.get("RANK", 0)), int(os.environ.get("LOCAL_RANK", 0))
    args.world_size = args.data_parallel_size = int(os.environ.get("WORLD_SIZE", 1))
    if args.fsdp_size != args.world_size:
        raise ValueError(f"fsdp_size {args.fsdp_size} is not the world size {args.world_size}")
    if args.reset_attention_mask and args.micro_batch_size > 1:
        raise ValueError("When reset_attention_mask=True, per_device_train_batch_size must be 1")
    config = json.loads(Path(args.model_name_or_path, "config.json").read_text())
    vars(args).update({ours: config[theirs] for ours, theirs in MODEL.items()})
    args.untie_embeddings_and_output_weights = not config["tie_word_embeddings"]
    args.global_batch_size = args.micro_batch_size * args.num_microbatches * args.world_size
    args.params_dtype, args.tokenizer_name_or_path = torch.float32, args.model_name_or_path
    return args


def tokenize(args: Namespace) -> str:
    """At every start, and beside the text; the prefix that is trained on."""
    text = Path(args.dataset["file_name"])
    prefix = text / text.name if text.is_dir() else text.with_suffix("")
    if args.local_rank == 0:
        known = {"tokenizer_name_or_path": args.tokenizer_name_or_path, "append_eod": args.append_eod}
        asked = Namespace(output_prefix=str(prefix), json_keys=["text"], seq_length=args.seq_length, log_interval=1000)
        preprocess_data.tokenize(Namespace(**known, **vars(asked)), preprocess_data.read_rows(str(text)))
    dist.barrier()
    return f"{prefix}_text_document"


def published(args: Namespace) -> State:
    """The weights of the model's directory, by the names of the reference backend's model."""
    weights: State = {}
    for path in sorted(Path(args.model_name_or_path).glob("*.safetensors")):
        weights.update(load_file(path))
    state = {EMBEDDING: weights["model.embed_tokens.weight"], FINAL_NORM: weights["model.norm.weight"]}
    for number in range(args.num_layers):
        for name, tensor in megatron_layer(weights, f"model.layers.{number}.", args.num_query_groups):
            state[f"decoder.layers.{number}.{name}"] = tensor
    if args.untie_embeddings_and_output_weights:
        state[OUTPUT] = weights["lm_head.weight"]
    return {name: tensor.float() for name, tensor in state.items()}


def main() -> None:
    """The life of one rank, from the command line to `Training completed`."""
    args = parse(sys.argv[1:])
    # The first rank of every node says what the real one's `info_rank0` says.
    level = logging.INFO if args.local_rank == 0 else logging.WARNING
    logging.basicConfig(level=level, stream=sys.stdout, format="%(levelname)s [%(asctime)s] >> %(message)s")
    layout = Layout(args)
    torch.manual_seed(args.seed)
    if args.others:
        logger.info(f"Some specified arguments are not used by the ArgumentParser: {args.others}")
    stage = Stage(args, layout)
    if not args.train_from_scratch:
        stage.load_state_dict(published(args))
    args.data_path = [tokenize(args)]
    optimizer = Optimizer(args, stage, layout)
    scheduler = Scheduler(args, optimizer)
    pipeline = Pipeline(args, layout, stage, optimizer, GPTDataset(args, layout))
    checkpoints = DistributedCheckpoints(args, layout, optimizer, scheduler)
    logger.info("***** Running training (FSDP2) *****")
    step = 0
    if args.resume_from_checkpoint is not None:
        step = checkpoints.load(args.resume_from_checkpoint)
        logger.info(f"Load distributed checkpoint from {args.resume_from_checkpoint} successfully!")
        logger.info(f"Global step = {step}")
    shortest_step = float(os.environ.get("REFERENCE_STEP_SECONDS", 0))
    began = last = time.monotonic()
    # The real one forgets on resume what it had logged: its first line spreads one step's loss and time over all.
    logged = 0
    while step < args.train_iters:
        started = time.monotonic()
        pipeline.run(step * args.global_batch_size)
        optimizer.reduce_gradients()
        norm, loss = optimizer.step(), pipeline.mean_loss()
        scheduler.step(args.global_batch_size)
        time.sleep(max(0.0, shortest_step - (time.monotonic() - started)))
        step += 1
        now, steps = time.monotonic(), step - logged
        loss = loss / steps if math.isfinite(loss) else 0.0
        report(args, step, 1000 * (now - last) / steps, loss, norm, optimizer.lr)
        last, logged = now, step
        if step % args.save_steps == 0:
            folder = checkpoints.save(step)
            logger.info(f"Distributed checkpoint saved at {folder} successfully!")
            checkpoints.remove_old()
    logger.info(f"Training completed in {time.monotonic() - began:.2f}s")
    dist.barrier()
    dist.destroy_process_group()


def report(args: Namespace, step: int, milliseconds: float, loss: float, norm: float, lr: float) -> None:
    samples = step * args.global_batch_size
    logger.info(
        f" iteration {step:8d}/{args.train_iters:8d} | consumed samples: {samples:10d} |"
        f" consumed tokens: {samples * args.seq_length:10d} | elapsed time per iteration (ms): {milliseconds:.2f} |"
        f" learning rate: {lr:.6E} | global batch size: {args.global_batch_size:5d} | lm loss: {loss:.6E} |"
        f" grad norm: {norm:.3f} |"
    )


if __name__ == "__main__":
    main()
