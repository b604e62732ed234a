"""Weights of Hugging Face's Qwen3 as Megatron's rank files, and back: every tensor bit for bit."""

import json
import os
import shutil
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .arguments import parse
from .checkpoint import TRACKER, rank_folder, torch_load

State = dict[str, Tensor]
# Of a layer, in the order of the real converter; without a name there: put together from several.
LAYER: dict[str, str | None] = {
    "input_layernorm.weight": "input_layernorm.weight",
    "pre_mlp_layernorm.weight": "post_attention_layernorm.weight",
    "self_attention.linear_qkv.weight": None,
    "self_attention.linear_proj.weight": "self_attn.o_proj.weight",
    "self_attention.q_layernorm.weight": "self_attn.q_norm.weight",
    "self_attention.k_layernorm.weight": "self_attn.k_norm.weight",
    "mlp.linear_fc1.weight": None,
    "mlp.linear_fc2.weight": "mlp.down_proj.weight",
}
QKV, FC1 = "self_attention.linear_qkv.weight", "mlp.linear_fc1.weight"
EMBEDDING, FINAL_NORM, OUTPUT = (
    "embedding.word_embeddings.weight",
    "decoder.final_layernorm.weight",
    "output_layer.weight",
)
CUT_BY_ROWS = (QKV, EMBEDDING, OUTPUT)
CUT_BY_COLUMNS = ("self_attention.linear_proj.weight", "mlp.linear_fc2.weight")
FUSED_NORM = ("input_layernorm.weight", "self_attention.linear_qkv.layer_norm_weight")  # transformer_engine's name


def main() -> None:
    started = time.monotonic()
    args = parse("convert_ckpt_v2.py")
    if (args.load_model_type, args.save_model_type) == ("hf", "mg"):
        to_megatron(args)
    elif (args.load_model_type, args.save_model_type) == ("mg", "hf"):
        to_huggingface(args)
    else:
        sys.exit(f"cannot convert {args.load_model_type} to {args.save_model_type}")
    print("INFO:root:Done!")
    print(f"INFO:root:time-consuming： {time.monotonic() - started:.2f}s")


def layer_places(layers: int, stages: int, num_layer_list: str | None, noops: set[int]) -> list[tuple[int, int]]:
    """(stage, number within the stage) of every real layer; a noop layer takes a number and has no weights."""
    if num_layer_list:
        counts = [int(count) for count in num_layer_list.split(",")]
        if len(counts) != stages or sum(counts) != layers:
            raise ValueError(f"num-layer-list {num_layer_list} does not give {layers} layers to {stages} stages")
        return [(stage, i) for stage, count in enumerate(counts) for i in range(count)]
    total = layers + len(noops)
    if total % stages != 0:
        raise ValueError("number of layers should be divisible by the pipeline parallel size")
    return [divmod(i, total // stages) for i in range(total) if i not in noops]


def numbers(text: str | None) -> set[int]:
    return {int(number) for number in text.split(",")} if text else set()


def to_megatron(args: Namespace) -> None:
    config = json.loads(Path(args.load_dir, "config.json").read_text())
    tp_size, stages = args.target_tensor_parallel_size, args.target_pipeline_parallel_size
    for name in ("vocab_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"):
        if config[name] % tp_size != 0:
            raise ValueError(f"{name} {config[name]} should be divisible by the tensor parallel size {tp_size}")
    noops = numbers(args.noop_layers)
    places = layer_places(config["num_hidden_layers"], stages, args.num_layer_list, noops)
    tied = config.get("tie_word_embeddings", False)
    weights = load_safetensors(args.load_dir)
    os.makedirs(args.save_dir, exist_ok=True)
    Path(args.save_dir, TRACKER).write_text("1")  # first, as the real one does: it is no sign of completion
    recorded = megatron_args(args, config, tied, len(places) + len(noops))
    for stage in range(stages):
        model: State = {}
        if stage == 0:
            model[EMBEDDING] = weights["model.embed_tokens.weight"]
        for number, (owner, local) in enumerate(places):
            if owner == stage:
                layer = megatron_layer(weights, f"model.layers.{number}.", config["num_key_value_heads"])
                model.update({f"decoder.layers.{local}.{name}": tensor for name, tensor in layer.items()})
        if stage == stages - 1:
            model[FINAL_NORM] = weights["model.norm.weight"]
            if not tied or stages > 1:
                model[OUTPUT] = weights["model.embed_tokens.weight" if tied else "lm_head.weight"]
        for tp in range(tp_size):
            shard = {name: cut(name, tensor, tp, tp_size) for name, tensor in model.items()}
            if args.transformer_impl == "transformer_engine":
                shard = {name.replace(*FUSED_NORM): tensor for name, tensor in shard.items()}
            folder = rank_folder(args.save_dir, 1, tp, stage, stages)
            os.makedirs(folder, exist_ok=True)
            state = {"args": recorded, "checkpoint_version": 3.0, "iteration": 1, "model": shard}
            torch.save(state, os.path.join(folder, "model_optim_rng.pt"))


def megatron_layer(weights: State, prefix: str, groups: int) -> State:
    def get(kind: str) -> Tensor:
        return weights[f"{prefix}{kind}.weight"]

    by_group = [get(f"self_attn.{kind}_proj").unflatten(0, (groups, -1)) for kind in "qkv"]
    joined = {
        QKV: torch.cat(by_group, dim=1).flatten(0, 1),
        FC1: torch.cat([get("mlp.gate_proj"), get("mlp.up_proj")]),
    }
    return {name: joined[name] if theirs is None else weights[prefix + theirs] for name, theirs in LAYER.items()}


def cut(name: str, tensor: Tensor, tp: int, tp_size: int) -> Tensor:
    if name.endswith(FC1):
        return torch.cat([half.chunk(tp_size)[tp] for half in tensor.chunk(2)])
    if name.endswith(CUT_BY_COLUMNS):
        return tensor.chunk(tp_size, dim=1)[tp].clone()
    return tensor.chunk(tp_size)[tp].clone() if name.endswith(CUT_BY_ROWS) else tensor


def join(name: str, shards: list[Tensor]) -> Tensor:
    if name.endswith(FC1):
        return torch.cat([shard.chunk(2)[half] for half in range(2) for shard in shards])
    if name.endswith(CUT_BY_COLUMNS):
        return torch.cat(shards, dim=1)
    return torch.cat(shards) if name.endswith(CUT_BY_ROWS) else shards[0]


def megatron_args(args: Namespace, config: dict[str, Any], tied: bool, num_layers: int) -> Namespace:
    """What the real converter keeps beside the weights."""
    names = json.loads((Path(__file__).parent / "converted_args.json").read_text())
    recorded = Namespace(
        **names["constant"],
        **{name: config[theirs] for name, theirs in names["from_config"].items()},
        expert_tensor_parallel_size=args.target_tensor_parallel_size,
        tensor_model_parallel_size=args.target_tensor_parallel_size,
        pipeline_model_parallel_size=args.target_pipeline_parallel_size,
        num_layers=num_layers,
        tie_word_embeddings=tied,
        untie_embeddings_and_output_weights=not tied,
        hf_path=args.load_dir,
        save_dir=os.path.join(args.save_dir, "iter_0000001"),
    )
    for name in ("load_dir", "model_type_hf", "save_layer_by_layer", "transformer_impl"):
        setattr(recorded, name, getattr(args, name))
    if args.target_tensor_parallel_size == 1:
        recorded.etp_valid_ckpts_list = [(0, 0)]
    for name in ("num_layer_list", "noop_layers"):
        if getattr(args, name):
            setattr(recorded, name, getattr(args, name))
    return recorded


def to_huggingface(args: Namespace) -> None:
    iteration = int(Path(args.load_dir, TRACKER).read_text())
    first = min(Path(args.load_dir, f"iter_{iteration:07d}").glob("mp_rank_*/model_optim_rng.pt"))
    saved = torch_load(str(first))["args"]
    tp_size, stages = saved.tensor_model_parallel_size, saved.pipeline_model_parallel_size
    noops = numbers(args.noop_layers or getattr(saved, "noop_layers", None))
    num_layer_list = args.num_layer_list or getattr(saved, "num_layer_list", None)
    places = layer_places(saved.num_layers - len(noops), stages, num_layer_list, noops)
    folders = [
        [rank_folder(args.load_dir, iteration, tp, stage, stages) for tp in range(tp_size)] for stage in range(stages)
    ]
    parts = [load_stage(ranks) for ranks in folders]
    groups = getattr(saved, "num_key_value_heads", None) or saved.num_query_groups
    files: list[State] = []
    for number, (stage, local) in enumerate(places):
        layer = huggingface_layer(parts[stage], f"decoder.layers.{local}.", groups, saved.num_attention_heads // groups)
        files.append({f"model.layers.{number}.{name}": tensor for name, tensor in layer.items()})
    files[0]["model.embed_tokens.weight"] = parts[0][EMBEDDING]
    files[-1]["model.norm.weight"] = parts[-1][FINAL_NORM]
    if saved.untie_embeddings_and_output_weights:
        files[-1]["lm_head.weight"] = parts[-1][OUTPUT]
    save_safetensors(args.save_dir, files)
    for path in Path(args.hf_cfg_dir).iterdir() if args.hf_cfg_dir else ():
        if path.is_file() and path.suffix != ".safetensors" and path.name != "model.safetensors.index.json":
            shutil.copyfile(path, Path(args.save_dir, path.name))


def load_stage(folders: list[str]) -> State:
    shards = [torch_load(os.path.join(folder, "model_optim_rng.pt"))["model"] for folder in folders]
    names = [name for name in shards[0] if not name.endswith("_extra_state")]
    return {name.replace(*reversed(FUSED_NORM)): join(name, [shard[name] for shard in shards]) for name in names}


def huggingface_layer(part: State, prefix: str, groups: int, per_group: int) -> State:
    layer = {theirs: part[prefix + name] for name, theirs in LAYER.items() if theirs is not None}
    by_group = part[prefix + QKV].unflatten(0, (groups, per_group + 2, -1)).split([per_group, 1, 1], dim=1)
    layer.update(
        {f"self_attn.{kind}_proj.weight": rows.flatten(0, 2) for kind, rows in zip("qkv", by_group, strict=True)}
    )
    layer["mlp.gate_proj.weight"], layer["mlp.up_proj.weight"] = part[prefix + FC1].chunk(2)
    return layer


def load_safetensors(folder: str) -> State:
    from safetensors.torch import load_file

    weights: State = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        weights.update(load_file(str(path)))
    return weights


def save_safetensors(folder: str, files: list[State]) -> None:
    from safetensors.torch import save_file

    os.makedirs(folder, exist_ok=True)
    places: dict[str, str] = {}
    for number, tensors in enumerate(files, start=1):
        name = f"model-{number:05d}-of-{len(files):06d}.safetensors"
        # Halves of one stored tensor are refused unless each has storage of its own.
        own = {key: tensor.clone().contiguous() for key, tensor in tensors.items()}
        save_file(own, os.path.join(folder, name), metadata={"format": "pt"})
        places.update(dict.fromkeys(tensors, name))
    size = sum(tensor.numel() * tensor.element_size() for tensors in files for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": places}
    Path(folder, "model.safetensors.index.json").write_text(json.dumps(index, indent=4))
