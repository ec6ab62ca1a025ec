"""Joint attention: tokens of several experts in one sequence, one softmax per layer, every expert
with its own weights.

The sequence is made of blocks; a token sees its own block and every earlier one. So a block's keys
and values never depend on later blocks and are computed once: `extend` reads a cache and returns
the longer one, and both training and inference walk the blocks in order. `joint_mask` writes the
same rule as one mask for the whole sequence at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.expert import Block, Expert

ExpertTokens = tuple[str, Tensor]
"""An expert's name and its tokens [B, T, D]."""
KeysValues = tuple[Tensor, Tensor]
"""Keys and values [B, kv_heads, T, head_dim] of one layer."""
Rotation = tuple[Tensor, Tensor]
"""Cosine and sine of the rotary position embedding, see `rotary`."""

ROTARY_BASE = 10_000


@dataclass(frozen=True)
class Cache:
    """Keys and values [B, kv_heads, S, head_dim] by layer of the blocks so far; `valid` [B, S] is
    False for padding.
    """

    layers: tuple[KeysValues, ...]
    valid: Tensor

    @property
    def length(self) -> Tensor:
        """Number of valid tokens [B]: the position of the next one."""
        return self.valid.sum(1)

    def repeated(self, times: int) -> Cache:
        """Every row `times` times over, [B * times, ...]."""
        layers: list[KeysValues] = []
        for k, v in self.layers:
            layers.append((k.repeat_interleave(times, 0), v.repeat_interleave(times, 0)))
        return Cache(tuple(layers), self.valid.repeat_interleave(times, 0))


class JointTransformer(nn.Module):
    """The language model and the action expert, layer by layer in one attention."""

    def __init__(self, config: VlaConfig):
        super().__init__()
        self.experts = nn.ModuleDict(
            {"language": Expert(config.language, config), "action": Expert(config.action, config)}
        )
        self.depth = config.layers
        self.head_dim = config.head_dim
        # Training may put a compiled or a recomputed layer here.
        self.layer = _layer

    def forward(
        self, parts: Sequence[ExpertTokens], mask: Tensor, positions: Tensor
    ) -> list[Tensor]:
        """Whole sequence at once, without a cache: outputs of every part; mask [B, T, T], positions
        [B, T].
        """
        rotation = rotary(positions, self.head_dim)
        names = [name for name, _ in parts]
        tokens = [x for _, x in parts]
        for index in range(self.depth):
            blocks = [self._block(name, index) for name in names]
            tokens, _ = _layer(blocks, tokens, rotation, mask, None)
        return [self._expert(name).norm(x) for name, x in zip(names, tokens, strict=True)]

    def extend(
        self, cache: Cache | None, name: str, x: Tensor, valid: Tensor, *, output: bool
    ) -> tuple[Cache, Tensor | None]:
        """Appends a block of one expert's tokens [B, T, D] to the cache; with `output` also returns
        the expert's output [B, T, D].

        Without it the last layer only computes keys and values, since nothing else of it is used.
        """
        if cache is None:
            start = 0
            all_valid = valid
        else:
            start = cache.length[:, None]
            all_valid = torch.cat([cache.valid, valid], 1)
        positions = start + valid.cumsum(1) - 1
        rotation = rotary(positions, self.head_dim)
        mask = all_valid[:, None, :]
        layers: list[KeysValues] = []
        for index in range(self.depth):
            past = cache.layers[index] if cache else None
            block = self._block(name, index)
            if index == self.depth - 1 and not output:
                k, v = _keys_values(block, block.input_layernorm(x), rotation)
                layers.append(_append(past, k, v))
                break
            (x,), keys_values = self.layer([block], [x], rotation, mask, past)
            layers.append(keys_values)
        extended = Cache(tuple(layers), all_valid)
        if not output:
            return extended, None
        return extended, self._expert(name).norm(x)

    def _expert(self, name: str) -> Expert:
        expert = self.experts[name]
        assert isinstance(expert, Expert)
        return expert

    def _block(self, name: str, index: int) -> Block:
        block = self._expert(name).layers[index]
        assert isinstance(block, Block)
        return block


def joint_mask(sizes: Sequence[int], valid: Tensor) -> Tensor:
    """Which token attends to which [B, T, T] in a sequence of blocks of these sizes; none attends
    to padding ([B, T] False).
    """
    device = valid.device
    indices = torch.arange(len(sizes), device=device)
    block = torch.repeat_interleave(indices, torch.tensor(sizes, device=device))
    not_later = block[None, :] <= block[:, None]
    return not_later[None] & valid[:, None, :]


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Grouped-query attention [B, T, heads * d] of q [B, heads, T, d] to k and v
    [B, kv_heads, S, d] under a mask [B, T or 1, S].

    The heads that share a key head are laid along the query axis, so keys and values are never
    copied per head.
    """
    batch, heads, length, dim = q.shape
    kv_heads = k.shape[1]
    groups = heads // kv_heads
    same_for_all_queries = mask.shape[1] == 1
    mask = mask[:, None]
    if not same_for_all_queries:
        mask = mask.repeat(1, 1, groups, 1)
    grouped = q.reshape(batch, kv_heads, groups * length, dim)
    result = F.scaled_dot_product_attention(grouped, k, v, attn_mask=mask)
    return result.reshape(batch, heads, length, dim).transpose(1, 2).flatten(2)


def rotary(positions: Tensor, head_dim: int) -> Rotation:
    """Cosine and sine [B, 1, T, head_dim] of rotary position embedding."""
    pairs = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32)
    frequency = ROTARY_BASE ** -(pairs / head_dim)
    angle = positions[:, None, :, None].to(torch.float32) * frequency
    angle = torch.cat([angle, angle], -1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Rotates the pairs (i, i + d/2) of [B, heads, T, d]."""
    cosine, sine = rotation
    first, second = x.chunk(2, -1)
    quarter_turn = torch.cat([-second, first], -1)
    rotated = x * cosine + quarter_turn * sine
    return rotated.to(x.dtype)


def _keys_values(block: Block, x: Tensor, rotation: Rotation) -> KeysValues:
    k, v = block.self_attn.keys_values(x)
    return rotate(k, rotation), v


def _append(past: KeysValues | None, k: Tensor, v: Tensor) -> KeysValues:
    if past is None:
        return k, v
    past_k, past_v = past
    return torch.cat([past_k, k], 2), torch.cat([past_v, v], 2)


def _layer(
    blocks: Sequence[Block],
    tokens: Sequence[Tensor],
    rotation: Rotation,
    mask: Tensor,
    past: KeysValues | None,
) -> tuple[list[Tensor], KeysValues]:
    """One layer over the concatenated tokens of the blocks' experts: their outputs, and all keys
    and values so far.
    """
    queries: list[Tensor] = []
    keys: list[Tensor] = []
    values: list[Tensor] = []
    for block, x in zip(blocks, tokens, strict=True):
        normed = block.input_layernorm(x)
        queries.append(block.self_attn.queries(normed))
        k, v = block.self_attn.keys_values(normed)
        keys.append(k)
        values.append(v)
    k = rotate(torch.cat(keys, 2), rotation)
    all_k, all_v = _append(past, k, torch.cat(values, 2))
    q = rotate(torch.cat(queries, 2), rotation)
    attended = attend(q, all_k, all_v, mask)
    sizes = [x.shape[1] for x in tokens]
    outputs: list[Tensor] = []
    for block, x, own in zip(blocks, tokens, attended.split(sizes, 1), strict=True):
        outputs.append(block.finish(x, own))
    return outputs, (all_k, all_v)
