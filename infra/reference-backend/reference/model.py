"""One pipeline stage of Qwen3, with Megatron's parameter names, shapes and registration order."""

import hashlib
import math
import re
from argparse import Namespace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .parallel import Layout

Linear = partial(nn.Linear, bias=False)
Rope = tuple[Tensor, Tensor]  # cosine and sine, [batch, length, 1, size]


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return normed.type_as(x) * self.weight


class Attention(nn.Module):
    def __init__(self, args: Namespace) -> None:
        super().__init__()
        self.groups, self.size, heads = args.num_query_groups, args.kv_channels, args.num_attention_heads
        self.per_group = heads // self.groups
        self.linear_proj = Linear(heads * self.size, args.hidden_size)
        self.linear_qkv = Linear(args.hidden_size, (heads + 2 * self.groups) * self.size)
        self.q_layernorm = RMSNorm(self.size, args.norm_epsilon) if args.qk_layernorm else nn.Identity()
        self.k_layernorm = RMSNorm(self.size, args.norm_epsilon) if args.qk_layernorm else nn.Identity()

    def forward(self, x: Tensor, rope: Rope, mask: Tensor) -> Tensor:
        # The rows of linear_qkv are ordered by query group: its queries, its key, its value.
        qkv = self.linear_qkv(x).unflatten(-1, (self.groups, self.per_group + 2, self.size))
        q, k, v = qkv.split([self.per_group, 1, 1], dim=3)  # [batch, length, group, heads of the group, size]
        q = rotate(self.q_layernorm(q.flatten(2, 3)), rope).transpose(1, 2)
        k = rotate(self.k_layernorm(k.flatten(2, 3)), rope).transpose(1, 2).repeat_interleave(self.per_group, dim=1)
        v = v.flatten(2, 3).transpose(1, 2).repeat_interleave(self.per_group, dim=1)
        scores = q @ k.transpose(2, 3) * (1 / math.sqrt(self.size))
        weights = scores.float().masked_fill(mask, float("-inf")).softmax(-1).type_as(v)
        return self.linear_proj((weights @ v).transpose(1, 2).flatten(2))


def rotate(x: Tensor, rope: Rope) -> Tensor:
    cos, sin = (part.to(x.dtype) for part in rope)
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-high, low), dim=-1) * sin


class MLP(nn.Module):
    def __init__(self, args: Namespace) -> None:
        super().__init__()
        self.linear_fc1 = Linear(args.hidden_size, 2 * args.ffn_hidden_size)  # gate, then up
        self.linear_fc2 = Linear(args.ffn_hidden_size, args.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.linear_fc1(x).chunk(2, dim=-1)
        return self.linear_fc2(F.silu(gate) * up)


class Layer(nn.Module):
    def __init__(self, args: Namespace) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(args.hidden_size, args.norm_epsilon)
        self.self_attention = Attention(args)
        self.pre_mlp_layernorm = RMSNorm(args.hidden_size, args.norm_epsilon)
        self.mlp = MLP(args)

    def forward(self, x: Tensor, rope: Rope, mask: Tensor) -> Tensor:
        x = x + self.self_attention(self.input_layernorm(x), rope, mask)
        return x + self.mlp(self.pre_mlp_layernorm(x))


class Stage(nn.Module):
    def __init__(self, args: Namespace, layout: Layout) -> None:
        super().__init__()
        self.layout, self.tied = layout, not args.untie_embeddings_and_output_weights
        layers = args.num_layers // layout.stages
        if layout.first:
            self.embedding = nn.ModuleDict({"word_embeddings": nn.Embedding(args.padded_vocab_size, args.hidden_size)})
        self.decoder: Any = nn.Module()
        self.decoder.layers = nn.ModuleList(Layer(args) for _ in range(layers))
        if layout.last:
            self.decoder.final_layernorm = RMSNorm(args.hidden_size, args.norm_epsilon)
        if layout.last and not (self.tied and layout.first):
            self.output_layer = Linear(args.hidden_size, args.padded_vocab_size)
        powers = torch.arange(0, args.kv_channels, 2, dtype=torch.float32) / args.kv_channels
        angles = torch.outer(torch.arange(args.seq_length, dtype=torch.float32), 1.0 / args.rotary_base**powers)
        self.angles = torch.cat((angles, angles), dim=-1)
        self.initialize(args, first_layer=layout.stage * layers)
        self.to(args.params_dtype)

    def initialize(self, args: Namespace, first_layer: int) -> None:
        """Random weights that depend on the seed and the weight's place in the whole model, so not on the layout."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 1:
                continue
            whole = re.sub(r"(?<=layers\.)\d+", lambda local: str(int(local[0]) + first_layer), name)
            if self.tied and whole == "output_layer.weight":
                whole = "embedding.word_embeddings.weight"
            narrow = whole.endswith(("linear_proj.weight", "linear_fc2.weight"))
            deviation = args.init_method_std / math.sqrt(2 * args.num_layers) if narrow else args.init_method_std
            digest = hashlib.sha256(f"{args.seed} {whole}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:6], "little"))
            parameter.data = torch.randn(parameter.shape, generator=generator) * deviation

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Token ids (first stage) or hidden states in; hidden states or float32 logits (last stage) out."""
        if self.layout.first:
            x = self.embedding["word_embeddings"](x)
        angles = self.angles[positions].unsqueeze(2)
        rope = angles.cos(), angles.sin()
        for layer in self.decoder.layers:
            x = layer(x, rope, mask)
        if not self.layout.last:
            return x
        return F.linear(self.decoder.final_layernorm(x), self.output_weight()).float()

    def output_weight(self) -> nn.Parameter:
        return self.embedding["word_embeddings"].weight if self.tied and self.layout.first else self.output_layer.weight

    def shared_weight(self) -> nn.Parameter | None:
        """The embedding that the first and the last of several stages both hold."""
        shares = self.tied and self.layout.first != self.layout.last
        return self.output_weight() if shares else None
