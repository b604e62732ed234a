"""One pipeline stage of Qwen3, with Megatron's parameter names, shapes and registration order."""

import hashlib
import math
from argparse import Namespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .parallel import Layout


def linear(columns: int, rows: int, dtype: torch.dtype) -> nn.Linear:
    return nn.Linear(columns, rows, bias=False, dtype=dtype)


class RMSNorm(nn.Module):
    def __init__(self, size: int, eps: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(size, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        return normed.type_as(x) * self.weight


class Attention(nn.Module):
    def __init__(self, args: Namespace) -> None:
        super().__init__()
        self.groups, self.size = args.num_query_groups, args.kv_channels
        self.per_group = args.num_attention_heads // self.groups
        heads, dtype = args.num_attention_heads, args.params_dtype
        self.linear_proj = linear(heads * self.size, args.hidden_size, dtype)
        self.linear_qkv = linear(args.hidden_size, (heads + 2 * self.groups) * self.size, dtype)
        if args.qk_layernorm:
            self.q_layernorm = RMSNorm(self.size, args.norm_epsilon, dtype)
            self.k_layernorm = RMSNorm(self.size, args.norm_epsilon, dtype)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        batch, length, _ = x.shape
        # The rows of linear_qkv are ordered by query group: its queries, its key, its value.
        qkv = self.linear_qkv(x).view(batch, length, self.groups, self.per_group + 2, self.size)
        q, k, v = qkv.split([self.per_group, 1, 1], dim=3)
        q = q.reshape(batch, length, -1, self.size)
        k, v = k.squeeze(3), v.squeeze(3)
        if hasattr(self, "q_layernorm"):
            q, k = self.q_layernorm(q), self.k_layernorm(k)
        q, k = rotate(q, rope).transpose(1, 2), rotate(k, rope).transpose(1, 2)
        k = k.repeat_interleave(self.per_group, dim=1)
        v = v.transpose(1, 2).repeat_interleave(self.per_group, dim=1)
        scores = q @ k.transpose(2, 3) * (1 / math.sqrt(self.size))
        weights = scores.float().masked_fill(mask, float("-inf")).softmax(-1).type_as(v)
        return self.linear_proj((weights @ v).transpose(1, 2).reshape(batch, length, -1))


def rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = (part.to(x.dtype) for part in rope)
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-high, low), dim=-1) * sin


class MLP(nn.Module):
    def __init__(self, args: Namespace) -> None:
        super().__init__()
        self.linear_fc1 = linear(args.hidden_size, 2 * args.ffn_hidden_size, args.params_dtype)  # gate, then up
        self.linear_fc2 = linear(args.ffn_hidden_size, args.hidden_size, args.params_dtype)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.linear_fc1(x).chunk(2, dim=-1)
        return self.linear_fc2(F.silu(gate) * up)


class Layer(nn.Module):
    def __init__(self, args: Namespace) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(args.hidden_size, args.norm_epsilon, args.params_dtype)
        self.self_attention = Attention(args)
        self.pre_mlp_layernorm = RMSNorm(args.hidden_size, args.norm_epsilon, args.params_dtype)
        self.mlp = MLP(args)

    def forward(self, x: Tensor, rope: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        x = x + self.self_attention(self.input_layernorm(x), rope, mask)
        return x + self.mlp(self.pre_mlp_layernorm(x))


class Stage(nn.Module):
    def __init__(self, args: Namespace, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.tied = not args.untie_embeddings_and_output_weights
        self.first_layer = layout.stage * (args.num_layers // layout.stages)
        vocabulary, dtype = args.padded_vocab_size, args.params_dtype
        if layout.first:
            self.embedding = nn.ModuleDict({"word_embeddings": nn.Embedding(vocabulary, args.hidden_size, dtype=dtype)})
        self.decoder: Any = nn.Module()
        self.decoder.layers = nn.ModuleList(Layer(args) for _ in range(args.num_layers // layout.stages))
        if layout.last:
            self.decoder.final_layernorm = RMSNorm(args.hidden_size, args.norm_epsilon, dtype)
            if not (self.tied and layout.first):
                self.output_layer = linear(args.hidden_size, vocabulary, dtype)
        powers = torch.arange(0, args.kv_channels, 2, dtype=torch.float32) / args.kv_channels
        inverse = 1.0 / args.rotary_base**powers
        angles = torch.outer(torch.arange(args.seq_length, dtype=torch.float32), inverse)
        self.angles = torch.cat((angles, angles), dim=-1)
        initialize(self, args)

    def forward(self, x: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """Token ids (first stage) or hidden states in; hidden states or float32 logits (last stage) out."""
        if self.layout.first:
            x = self.embedding["word_embeddings"](x)
        angles = self.angles[positions].unsqueeze(2)
        rope = (angles.cos(), angles.sin())
        for layer in self.decoder.layers:
            x = layer(x, rope, mask)
        if not self.layout.last:
            return x
        output = self.embedding["word_embeddings"] if self.tied and self.layout.first else self.output_layer
        return F.linear(self.decoder.final_layernorm(x), output.weight).float()

    def shared_weight(self) -> nn.Parameter | None:
        """The embedding that the first and the last of several stages both hold."""
        if not self.tied or self.layout.stages == 1:
            return None
        if self.layout.first:
            return self.embedding["word_embeddings"].weight
        return self.output_layer.weight if self.layout.last else None


@torch.no_grad()
def initialize(stage: Stage, args: Namespace) -> None:
    """Random weights that depend on the seed and the weight's place in the whole model, so not on the layout."""
    for name, parameter in stage.named_parameters():
        if parameter.dim() == 1:
            parameter.fill_(1.0)
            continue
        parts = name.split(".")
        if parts[1] == "layers":
            parts[2] = str(int(parts[2]) + stage.first_layer)
        whole = ".".join(parts)
        if stage.tied and whole == "output_layer.weight":
            whole = "embedding.word_embeddings.weight"
        narrow = whole.endswith(("linear_proj.weight", "linear_fc2.weight"))
        deviation = args.init_method_std / math.sqrt(2 * args.num_layers) if narrow else args.init_method_std
        digest = hashlib.sha256(f"{args.seed} {whole}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:6], "little"))
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation)
