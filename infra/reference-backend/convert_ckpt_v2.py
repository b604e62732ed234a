"""Converts Qwen3 weights between Hugging Face and Megatron checkpoints, as MindSpeed-LLM's convert_ckpt_v2.py does.

Every tensor stays the same bit for bit.
"""

import json
import logging
import shutil
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from reference import arguments
from reference.checkpoint import MODEL, TRACKER, rank_folder, torch_load

State = dict[str, Tensor]
QKV, FC1 = "self_attention.linear_qkv.weight", "mlp.linear_fc1.weight"
# Of a layer, in the order of the real converter; without a name there: put together from several.
LAYER: dict[str, str | None] = {
    "input_layernorm.weight": "input_layernorm.weight",
    "pre_mlp_layernorm.weight": "post_attention_layernorm.weight",
    QKV: None,
    "self_attention.linear_proj.weight": "self_attn.o_proj.weight",
    "self_attention.q_layernorm.weight": "self_attn.q_norm.weight",
    "self_attention.k_layernorm.weight": "self_attn.k_norm.weight",
    FC1: None,
    "mlp.linear_fc2.weight": "mlp.down_proj.weight",
}
EMBEDDING, OUTPUT = "embedding.word_embeddings.weight", "output_layer.weight"
FINAL_NORM = "decoder.final_layernorm.weight"
CUT_BY_ROWS = ("linear_qkv.weight", EMBEDDING, OUTPUT)
CUT_BY_COLUMNS = ("linear_proj.weight", "linear_fc2.weight")
FUSED_NORM = ("input_layernorm.weight", "self_attention.linear_qkv.layer_norm_weight")  # transformer_engine's name


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    started = time.monotonic()
    args = arguments.parse("convert_ckpt_v2.py")
    directions = {("hf", "mg"): to_megatron, ("mg", "hf"): to_huggingface}
    directions[args.load_model_type, args.save_model_type](args)
    logging.info("Done!")
    logging.info(f"time-consuming： {time.monotonic() - started:.2f}s")


def layer_places(layers: int, stages: int, num_layer_list: str | None, noops: set[int]) -> list[tuple[int, int]]:
    """(stage, number within the stage) of every real layer; a noop layer takes a number and has no weights."""
    if num_layer_list and noops:
        raise ValueError("num_layer_list and noop_layers cannot be configured at the same time")
    if num_layer_list:
        counts = [int(count) for count in num_layer_list.split(",")]
        if len(counts) != stages or sum(counts) != layers:
            raise ValueError(f"num-layer-list {num_layer_list} does not give {layers} layers to {stages} stages")
        return [(stage, i) for stage, count in enumerate(counts) for i in range(count)]
    total = layers + len(noops)
    if not noops <= set(range(total)):
        raise ValueError(f"noop layers {sorted(noops)} are not all among {total} layers")
    if total % stages != 0:
        raise ValueError("number of layers should be divisible by the pipeline parallel size")
    return [divmod(i, total // stages) for i in range(total) if i not in noops]


def numbers(text: str | None) -> set[int]:
    listed = [int(number) for number in text.split(",")] if text else []
    if len(set(listed)) != len(listed):
        raise ValueError(f"{text} names a layer twice")
    return set(listed)


def to_megatron(args: Namespace) -> None:
    config = json.loads(Path(args.load_dir, "config.json").read_text())
    tp_size, stages = args.target_tensor_parallel_size, args.target_pipeline_parallel_size
    if min(tp_size, stages) < 1:
        raise ValueError(f"tensor and pipeline parallel size should be positive, not {tp_size} and {stages}")
    for name in ("vocab_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"):
        if config[name] % tp_size != 0:
            raise ValueError(f"{name} {config[name]} should be divisible by the tensor parallel size {tp_size}")
    noops = numbers(args.noop_layers)
    places = layer_places(config["num_hidden_layers"], stages, args.num_layer_list, noops)
    tied = config.get("tie_word_embeddings", False)
    weights: State = {}
    for path in sorted(Path(args.load_dir).glob("*.safetensors")):
        weights.update(load_file(path))

    models: list[State] = [{} for _ in range(stages)]
    models[0][EMBEDDING] = weights["model.embed_tokens.weight"]
    for number, (stage, local) in enumerate(places):
        for name, tensor in megatron_layer(weights, f"model.layers.{number}.", config["num_key_value_heads"]):
            models[stage][f"decoder.layers.{local}.{name}"] = tensor
    models[-1][FINAL_NORM] = weights["model.norm.weight"]
    if not tied or stages > 1:
        models[-1][OUTPUT] = weights["model.embed_tokens.weight" if tied else "lm_head.weight"]

    Path(args.save_dir).mkdir(parents=True, exist_ok=True)
    Path(args.save_dir, TRACKER).write_text("1")  # first, as the real one does: it is no sign of completion
    recorded = megatron_args(args, config, tied, len(places) + len(noops))
    for stage, model in enumerate(models):
        if args.transformer_impl == "transformer_engine":
            model = {name.replace(*FUSED_NORM): tensor for name, tensor in model.items()}
        shards = {name: cut(name, tensor, tp_size) for name, tensor in model.items()}
        for tp in range(tp_size):
            folder = rank_folder(args.save_dir, 1, tp, stage, stages)
            folder.mkdir(parents=True, exist_ok=True)
            own = {name: parts[tp].clone() for name, parts in shards.items()}
            torch.save({"args": recorded, "checkpoint_version": 3.0, "iteration": 1, "model": own}, folder / MODEL)


def megatron_layer(weights: State, prefix: str, groups: int) -> list[tuple[str, Tensor]]:
    """The rows of linear_qkv are ordered by query group: its queries, its key, its value."""
    by_group = [weights[f"{prefix}self_attn.{kind}_proj.weight"].unflatten(0, (groups, -1)) for kind in "qkv"]
    gate_up = [weights[f"{prefix}mlp.{kind}_proj.weight"] for kind in ("gate", "up")]
    joined = {QKV: torch.cat(by_group, dim=1).flatten(0, 1), FC1: torch.cat(gate_up)}
    return [(name, weights[prefix + theirs] if theirs else joined[name]) for name, theirs in LAYER.items()]


def cut(name: str, tensor: Tensor, tp_size: int) -> list[Tensor]:
    """One tensor a tensor-parallel rank; of linear_fc1 each gets its part of the gate and of the up projection."""
    if name.endswith(FC1):
        return [part.flatten(0, 1) for part in tensor.unflatten(0, (2, -1)).chunk(tp_size, dim=1)]
    if name.endswith(CUT_BY_ROWS + CUT_BY_COLUMNS):
        return list(tensor.chunk(tp_size, dim=int(name.endswith(CUT_BY_COLUMNS))))
    return [tensor] * tp_size


def join(name: str, shards: list[Tensor]) -> Tensor:
    if name.endswith(FC1):
        return torch.cat([shard.unflatten(0, (2, -1)) for shard in shards], dim=1).flatten(0, 1)
    if name.endswith(CUT_BY_ROWS + CUT_BY_COLUMNS):
        return torch.cat(shards, dim=int(name.endswith(CUT_BY_COLUMNS)))
    return shards[0]


def megatron_args(args: Namespace, config: dict[str, Any], tied: bool, num_layers: int) -> Namespace:
    """What the real converter keeps beside the weights."""
    names = json.loads((Path(arguments.__file__).parent / "converted_args.json").read_text())
    optional = {name: getattr(args, name) for name in ("num_layer_list", "noop_layers") if getattr(args, name)}
    if args.target_tensor_parallel_size == 1:
        optional["etp_valid_ckpts_list"] = [(0, 0)]
    return Namespace(
        **names["constant"],
        **{name: config[theirs] for name, theirs in names["from_config"].items()},
        **{name: getattr(args, theirs) for name, theirs in names["from_arguments"].items()},
        **optional,
        num_layers=num_layers,
        tie_word_embeddings=tied,
        untie_embeddings_and_output_weights=not tied,
        save_dir=str(Path(args.save_dir, "iter_0000001")),
    )


def to_huggingface(args: Namespace) -> None:
    iteration = int(Path(args.load_dir, TRACKER).read_text())
    saved = torch_load(min(Path(args.load_dir, f"iter_{iteration:07d}").glob(f"mp_rank_*/{MODEL}")))["args"]
    tp_size, stages = saved.tensor_model_parallel_size, saved.pipeline_model_parallel_size
    noops = numbers(args.noop_layers or getattr(saved, "noop_layers", None))
    num_layer_list = args.num_layer_list or getattr(saved, "num_layer_list", None)
    places = layer_places(saved.num_layers - len(noops), stages, num_layer_list, noops)
    models: list[State] = []
    for stage in range(stages):
        ranks = [rank_folder(args.load_dir, iteration, tp, stage, stages) for tp in range(tp_size)]
        shards = [torch_load(folder / MODEL)["model"] for folder in ranks]
        names = [name for name in shards[0] if not name.endswith("_extra_state")]
        parts = {name: join(name, [shard[name] for shard in shards]) for name in names}
        models.append({name.replace(*reversed(FUSED_NORM)): tensor for name, tensor in parts.items()})
    groups = getattr(saved, "num_key_value_heads", None) or saved.num_query_groups
    files: list[State] = []
    for number, (stage, local) in enumerate(places):
        layer = huggingface_layer(
            models[stage], f"decoder.layers.{local}.", groups, saved.num_attention_heads // groups
        )
        files.append({f"model.layers.{number}.{name}": tensor for name, tensor in layer.items()})
    files[0]["model.embed_tokens.weight"] = models[0][EMBEDDING]
    files[-1]["model.norm.weight"] = models[-1][FINAL_NORM]
    if saved.untie_embeddings_and_output_weights:
        files[-1]["lm_head.weight"] = models[-1][OUTPUT]
    save_safetensors(Path(args.save_dir), files)
    for path in Path(args.hf_cfg_dir).iterdir() if args.hf_cfg_dir else ():
        if path.is_file() and path.suffix != ".safetensors" and path.name != "model.safetensors.index.json":
            shutil.copyfile(path, Path(args.save_dir, path.name))


def huggingface_layer(model: State, prefix: str, groups: int, per_group: int) -> State:
    layer = {theirs: model[prefix + name] for name, theirs in LAYER.items() if theirs}
    by_group = model[prefix + QKV].unflatten(0, (groups, per_group + 2, -1)).split([per_group, 1, 1], dim=1)
    for kind, rows in zip("qkv", by_group, strict=True):
        layer[f"self_attn.{kind}_proj.weight"] = rows.flatten(0, 2)
    layer["mlp.gate_proj.weight"], layer["mlp.up_proj.weight"] = model[prefix + FC1].chunk(2)
    return layer


def save_safetensors(folder: Path, files: list[State]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    places: dict[str, str] = {}
    for number, tensors in enumerate(files, start=1):
        name = f"model-{number:05d}-of-{len(files):06d}.safetensors"
        # Halves of one stored tensor are refused unless each has storage of its own.
        own = {key: tensor.clone().contiguous() for key, tensor in tensors.items()}
        save_file(own, folder / name, metadata={"format": "pt"})
        places.update(dict.fromkeys(tensors, name))
    size = sum(tensor.numel() * tensor.element_size() for tensors in files for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": places}
    Path(folder, "model.safetensors.index.json").write_text(json.dumps(index, indent=4))


if __name__ == "__main__":
    main()
