"""One expert of the joint transformer: Gemma-style blocks without the attention itself, which the
experts share.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xlvla_policy.vla.config import ExpertConfig, VlaConfig

NORM_EPSILON = 1e-6


class RmsNorm(nn.Module):
    """Root-mean-square normalisation with scale 1 + weight."""

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        scale = 1 + self.weight.float()
        return F.rms_norm(x.float(), self.weight.shape, scale, NORM_EPSILON).to(x.dtype)


class Projections(nn.Module):
    """Queries, keys, values and output of one expert in one layer; all experts agree on heads and
    head size.
    """

    def __init__(self, dim: int, heads: int, kv_heads: int, head_dim: int):
        super().__init__()
        self.head_dim = head_dim
        self.q_proj = nn.Linear(dim, heads * head_dim, bias=False)
        self.k_proj = nn.Linear(dim, kv_heads * head_dim, bias=False)
        self.v_proj = nn.Linear(dim, kv_heads * head_dim, bias=False)
        self.o_proj = nn.Linear(heads * head_dim, dim, bias=False)

    def queries(self, x: Tensor) -> Tensor:
        """[B, T, D] to [B, heads, T, head_dim]."""
        return self._heads(self.q_proj(x))

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, D] to twice [B, kv_heads, T, head_dim]."""
        return self._heads(self.k_proj(x)), self._heads(self.v_proj(x))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


class GatedMlp(nn.Module):
    """Gemma's feed-forward layer: one product, gated by another."""

    def __init__(self, config: ExpertConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.dim, config.mlp, bias=False)
        self.up_proj = nn.Linear(config.dim, config.mlp, bias=False)
        self.down_proj = nn.Linear(config.mlp, config.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = F.gelu(self.gate_proj(x), approximate="tanh")
        return self.down_proj(gate * self.up_proj(x))


class Block(nn.Module):
    """The weights of one expert in one layer."""

    def __init__(self, expert: ExpertConfig, config: VlaConfig):
        super().__init__()
        self.input_layernorm = RmsNorm(expert.dim)
        self.post_attention_layernorm = RmsNorm(expert.dim)
        self.self_attn = Projections(expert.dim, config.heads, config.kv_heads, config.head_dim)
        self.mlp = GatedMlp(expert)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """The rest of the layer after the shared attention [B, T, heads * head_dim]."""
        x = x + self.self_attn.o_proj(attended)
        return x + self.mlp(self.post_attention_layernorm(x))


class Expert(nn.Module):
    """The blocks of one expert, and the norm of what leaves the last."""

    def __init__(self, expert: ExpertConfig, config: VlaConfig):
        super().__init__()
        self.layers = nn.ModuleList(Block(expert, config) for _ in range(config.layers))
        self.norm = RmsNorm(expert.dim)
