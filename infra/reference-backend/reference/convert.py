"""Weights of Hugging Face's Qwen3 as Megatron's rank files, and back: every tensor bit for bit."""

import argparse
import json
import os
import shutil
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .checkpoint import TRACKER, torch_load

State = dict[str, Tensor]
# Of one layer, in the order of Megatron's converter: how the tensor is cut for tensor parallelism.
CUT_BY_ROWS = ("self_attention.linear_qkv.weight", "mlp.linear_fc1.weight")
CUT_BY_COLUMNS = ("self_attention.linear_proj.weight", "mlp.linear_fc2.weight")
SAME_NAME = {
    "input_layernorm.weight": "input_layernorm.weight",
    "pre_mlp_layernorm.weight": "post_attention_layernorm.weight",
    "self_attention.q_layernorm.weight": "self_attn.q_norm.weight",
    "self_attention.k_layernorm.weight": "self_attn.k_norm.weight",
    "self_attention.linear_proj.weight": "self_attn.o_proj.weight",
    "mlp.linear_fc2.weight": "mlp.down_proj.weight",
}
LAYER_NAMES = (
    "input_layernorm.weight",
    "pre_mlp_layernorm.weight",
    "self_attention.linear_qkv.weight",
    "self_attention.linear_proj.weight",
    "self_attention.q_layernorm.weight",
    "self_attention.k_layernorm.weight",
    "mlp.linear_fc1.weight",
    "mlp.linear_fc2.weight",
)
FUSED_NORM = ("input_layernorm.weight", "self_attention.linear_qkv.layer_norm_weight")  # transformer_engine's name
EMBEDDING, FINAL_NORM, OUTPUT = "embedding.word_embeddings.weight", "decoder.final_layernorm.weight", "output_layer.weight"


def main() -> None:
    started = time.monotonic()
    args = parse_args()
    if args.load_model_type == "hf":
        to_megatron(args)
    else:
        to_huggingface(args)
    print("INFO:root:Done!")
    print(f"INFO:root:time-consuming： {time.monotonic() - started:.2f}s")


def parse_args() -> Namespace:
    parser = argparse.ArgumentParser(prog="convert_ckpt_v2.py")
    parser.add_argument("--load-model-type", nargs="?", default="hf", choices=["hf", "mg"])
    parser.add_argument("--save-model-type", default="mg", choices=["hf", "mg"])
    parser.add_argument("--load-dir", required=True)
    parser.add_argument("--save-dir", required=True)
    parser.add_argument("--model-type-hf", default="qwen3", choices=["qwen3"])
    parser.add_argument("--target-tensor-parallel-size", type=int, default=1)
    parser.add_argument("--target-pipeline-parallel-size", type=int, default=1)
    parser.add_argument("--target-expert-parallel-size", type=int, default=1, choices=[1])
    parser.add_argument("--expert-tensor-parallel-size", type=int, choices=[1])
    parser.add_argument("--num-layer-list")
    parser.add_argument("--noop-layers")
    parser.add_argument("--num-layers", type=int)
    parser.add_argument("--transformer-impl", default="local", choices=["local", "transformer_engine"])
    parser.add_argument("--hf-cfg-dir")
    parser.add_argument("--save-layer-by-layer", action="store_true")
    args = parser.parse_args()
    if args.load_model_type == args.save_model_type:
        parser.error(f"--load-model-type and --save-model-type are both {args.load_model_type}")
    return args


def layer_places(layers: int, stages: int, num_layer_list: "str | None", noop_layers: "str | None") -> list[tuple[int, int]]:
    """(stage, number within the stage) of every real layer; noop layers take a number and have no weights."""
    if num_layer_list:
        counts = [int(count) for count in num_layer_list.split(",")]
        if len(counts) != stages or sum(counts) != layers:
            raise ValueError(f"num-layer-list {num_layer_list} does not give {layers} layers to {stages} stages")
        return [(stage, i) for stage, count in enumerate(counts) for i in range(count)]
    noops = {int(number) for number in noop_layers.split(",")} if noop_layers else set()
    total = layers + len(noops)
    if total % stages != 0:
        raise ValueError("number of layers should be divisible by the pipeline parallel size")
    return [divmod(i, total // stages) for i in range(total) if i not in noops]


def rank_file(root: Path, tp: int, stage: int, stages: int) -> Path:
    return root / (f"mp_rank_{tp:02d}_{stage:03d}" if stages > 1 else f"mp_rank_{tp:02d}") / "model_optim_rng.pt"


def to_megatron(args: Namespace) -> None:
    config = json.loads(Path(args.load_dir, "config.json").read_text())
    tp_size, stages = args.target_tensor_parallel_size, args.target_pipeline_parallel_size
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    for name in ("vocab_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"):
        if config[name] % tp_size != 0:
            raise ValueError(f"{name} {config[name]} should be divisible by the tensor parallel size {tp_size}")
    layers = config["num_hidden_layers"]
    places = layer_places(layers, stages, args.num_layer_list, args.noop_layers)
    tied = config.get("tie_word_embeddings", False)
    weights = load_safetensors(args.load_dir)
    root = Path(args.save_dir, "iter_0000001")
    root.mkdir(parents=True, exist_ok=True)
    Path(args.save_dir, TRACKER).write_text("1")  # first, as the real one does: it is no sign of completion
    recorded = megatron_args(args, config, len(places) + len((args.noop_layers or "").split(",")) * bool(args.noop_layers))
    for stage in range(stages):
        model: list[tuple[str, Tensor]] = []
        if stage == 0:
            model.append((EMBEDDING, weights["model.embed_tokens.weight"]))
        for number, (owner, local) in enumerate(places):
            if owner == stage:
                layer = megatron_layer(weights, number, groups, heads // groups)
                model += [(f"decoder.layers.{local}.{name}", layer[name]) for name in LAYER_NAMES]
        if stage == stages - 1:
            model.append((FINAL_NORM, weights["model.norm.weight"]))
            if not tied or stages > 1:
                model.append((OUTPUT, weights["model.embed_tokens.weight" if tied else "lm_head.weight"]))
        for tp in range(tp_size):
            shard = {rename(name, args.transformer_impl): cut(name, tensor, tp, tp_size) for name, tensor in model}
            path = rank_file(root, tp, stage, stages)
            path.parent.mkdir(exist_ok=True)
            torch.save({"args": recorded, "checkpoint_version": 3.0, "iteration": 1, "model": shard}, path)
            print(f"INFO:root:Saved {path}")


def megatron_layer(weights: State, number: int, groups: int, per_group: int) -> State:
    prefix = f"model.layers.{number}."
    layer = {name: weights[prefix + theirs] for name, theirs in SAME_NAME.items()}
    q, k, v = (weights[f"{prefix}self_attn.{kind}_proj.weight"] for kind in "qkv")
    by_group = [q.view(groups, -1, q.shape[1]), k.view(groups, -1, k.shape[1]), v.view(groups, -1, v.shape[1])]
    layer["self_attention.linear_qkv.weight"] = torch.cat(by_group, dim=1).view(-1, q.shape[1])
    layer["mlp.linear_fc1.weight"] = torch.cat([weights[f"{prefix}mlp.{kind}_proj.weight"] for kind in ("gate", "up")])
    return layer


def cut(name: str, tensor: Tensor, tp: int, tp_size: int) -> Tensor:
    if name.endswith("mlp.linear_fc1.weight"):
        return torch.cat([half.chunk(tp_size)[tp] for half in tensor.chunk(2)])
    if name.endswith(CUT_BY_COLUMNS):
        return tensor.chunk(tp_size, dim=1)[tp].clone()
    if name.endswith(CUT_BY_ROWS) or name in (EMBEDDING, OUTPUT):
        return tensor.chunk(tp_size)[tp].clone()
    return tensor


def join(name: str, shards: list[Tensor]) -> Tensor:
    if name.endswith("mlp.linear_fc1.weight"):
        return torch.cat([shard.chunk(2)[half] for half in range(2) for shard in shards])
    if name.endswith(CUT_BY_COLUMNS):
        return torch.cat(shards, dim=1)
    if name.endswith(CUT_BY_ROWS) or name in (EMBEDDING, OUTPUT):
        return torch.cat(shards)
    return shards[0]


def rename(name: str, implementation: str) -> str:
    return name.replace(*FUSED_NORM) if implementation == "transformer_engine" else name


def megatron_args(args: Namespace, config: dict[str, Any], num_layers: int) -> Namespace:
    """What the real converter keeps beside the weights."""
    tied = config.get("tie_word_embeddings", False)
    recorded = {
        "add_bias_linear": False,
        "add_position_embedding": True,
        "expert_model_parallel_size": 1,
        "expert_tensor_parallel_size": args.target_tensor_parallel_size,
        "fc_type": "gate_up_down",
        "first_k_dense_replace": 0,
        "global_batch_size": 64,
        "gradient_accumulation_fusion": False,
        "group_query_attention": False,
        "hf_path": args.load_dir,
        "hidden_size": config["hidden_size"],
        "intermediate_size": config["intermediate_size"],
        "kv_channels": config["head_dim"],
        "load_dir": args.load_dir,
        "load_model_type": "hf",
        "max_position_embeddings": config["max_position_embeddings"],
        "mla_mm_split": False,
        "model_type_hf": args.model_type_hf,
        "moe_grouped_gemm": False,
        "moe_tp_extend_ep": False,
        "mtp_num_layers": 0,
        "norm_epsilon": config["rms_norm_eps"],
        "normalization": "RMSNorm",
        "num_attention_heads": config["num_attention_heads"],
        "num_key_value_heads": config["num_key_value_heads"],
        "num_layers": num_layers,
        "pipeline_model_parallel_size": args.target_pipeline_parallel_size,
        "qk_layernorm": True,
        "qkv_type": "unpack",
        "qlora_nf4": False,
        "rotary_base": config["rope_theta"],
        "save_dir": os.path.join(args.save_dir, "iter_0000001"),
        "save_layer_by_layer": args.save_layer_by_layer,
        "seq_length": 4096,
        "swiglu": True,
        "tensor_model_parallel_size": args.target_tensor_parallel_size,
        "tie_word_embeddings": tied,
        "tokenizer_type": "Llama2Tokenizer",
        "transformer_impl": args.transformer_impl,
        "untie_embeddings_and_output_weights": not tied,
        "use_rotary_position_embeddings": True,
        "vocab_size": config["vocab_size"],
    }
    if args.target_tensor_parallel_size == 1:
        recorded["etp_valid_ckpts_list"] = [(0, 0)]
    recorded.update({name: value for name in ("num_layer_list", "noop_layers") if (value := getattr(args, name))})
    return Namespace(**recorded)


def to_huggingface(args: Namespace) -> None:
    iteration = int(Path(args.load_dir, TRACKER).read_text())
    root = Path(args.load_dir, f"iter_{iteration:07d}")
    first = next(path for path in sorted(root.glob("mp_rank_*/model_optim_rng.pt")))
    saved = torch_load(str(first))["args"]
    tp_size, stages = saved.tensor_model_parallel_size, saved.pipeline_model_parallel_size
    groups = getattr(saved, "num_key_value_heads", None) or saved.num_query_groups
    num_layer_list = args.num_layer_list or getattr(saved, "num_layer_list", None)
    noop_layers = args.noop_layers or getattr(saved, "noop_layers", None)
    layers = saved.num_layers - len(noop_layers.split(",") if noop_layers else [])
    places = layer_places(layers, stages, num_layer_list, noop_layers)
    parts = [load_stage(root, stage, stages, tp_size) for stage in range(stages)]
    target = Path(args.save_dir)
    target.mkdir(parents=True, exist_ok=True)
    files: list[tuple[str, State]] = []
    for number, (stage, local) in enumerate(places):
        tensors = huggingface_layer(parts[stage], local, number, groups, saved.num_attention_heads // groups)
        if number == 0:
            tensors = {"model.embed_tokens.weight": parts[0][EMBEDDING], **tensors}
        if number == len(places) - 1:
            tensors["model.norm.weight"] = parts[-1][FINAL_NORM]
            if saved.untie_embeddings_and_output_weights:
                tensors["lm_head.weight"] = parts[-1][OUTPUT]
        files.append((f"model-{number + 1:05d}-of-{len(places):06d}.safetensors", tensors))
    save_safetensors(target, files)
    if args.hf_cfg_dir:
        for path in Path(args.hf_cfg_dir).iterdir():
            if path.is_file() and path.suffix != ".safetensors" and path.name != "model.safetensors.index.json":
                shutil.copyfile(path, target / path.name)


def load_stage(root: Path, stage: int, stages: int, tp_size: int) -> State:
    shards = [torch_load(str(rank_file(root, tp, stage, stages)))["model"] for tp in range(tp_size)]
    names = [name for name in shards[0] if not name.endswith("_extra_state")]
    return {name.replace(*reversed(FUSED_NORM)): join(name, [shard[name] for shard in shards]) for name in names}


def huggingface_layer(part: State, local: int, number: int, groups: int, per_group: int) -> State:
    def get(name: str) -> Tensor:
        return part[f"decoder.layers.{local}.{name}"]

    qkv = get("self_attention.linear_qkv.weight")
    size = qkv.shape[0] // (groups * (per_group + 2))
    by_group = qkv.view(groups, per_group + 2, size, -1).split([per_group, 1, 1], dim=1)
    q, k, v = (rows.reshape(-1, qkv.shape[1]) for rows in by_group)
    gate, up = get("mlp.linear_fc1.weight").chunk(2)
    tensors = {
        "input_layernorm.weight": get("input_layernorm.weight"),
        "post_attention_layernorm.weight": get("pre_mlp_layernorm.weight"),
        "self_attn.q_norm.weight": get("self_attention.q_layernorm.weight"),
        "self_attn.k_norm.weight": get("self_attention.k_layernorm.weight"),
        "self_attn.q_proj.weight": q,
        "self_attn.k_proj.weight": k,
        "self_attn.v_proj.weight": v,
        "self_attn.o_proj.weight": get("self_attention.linear_proj.weight"),
        "mlp.gate_proj.weight": gate,
        "mlp.up_proj.weight": up,
        "mlp.down_proj.weight": get("mlp.linear_fc2.weight"),
    }
    return {f"model.layers.{number}.{name}": tensor.contiguous() for name, tensor in tensors.items()}


def load_safetensors(folder: str) -> State:
    from safetensors.torch import load_file

    weights: State = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        weights.update(load_file(str(path)))
    return weights


def save_safetensors(target: Path, files: list[tuple[str, State]]) -> None:
    from safetensors.torch import save_file

    places: dict[str, str] = {}
    size = 0
    for name, tensors in files:
        # Slices of one stored tensor are refused unless each has storage of its own.
        save_file({key: tensor.clone() for key, tensor in tensors.items()}, str(target / name), metadata={"format": "pt"})
        places.update(dict.fromkeys(tensors, name))
        size += sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": places}
    (target / "model.safetensors.index.json").write_text(json.dumps(index, indent=4))
