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

Part = tuple[str, Tensor]
"""An expert's name and its tokens [B, T, D]."""


@dataclass(frozen=True)
class Cache:
    """Keys and values [B, kv_heads, S, head_dim] by layer of the blocks seen so far; `valid` [B, S]
    is False for padding.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    valid: Tensor

    @property
    def length(self) -> Tensor:
        """Number of valid tokens [B]: the position of the next one."""
        return self.valid.sum(1)

    def repeated(self, times: int) -> Cache:
        """Every row `times` times over, [B * times, ...]."""
        layers = tuple(
            (k.repeat_interleave(times, 0), v.repeat_interleave(times, 0)) for k, v in self.layers
        )
        return Cache(layers, self.valid.repeat_interleave(times, 0))


class JointTransformer(nn.Module):
    """The language model and the action expert, layer by layer in one attention."""

    def __init__(self, config: VlaConfig):
        super().__init__()
        self.experts = nn.ModuleDict(
            {"language": Expert(config.language, config), "action": Expert(config.action, config)}
        )
        self.depth = config.layers
        self.head_dim = config.head_dim
        self.layer = _layer  # training may put a compiled or a recomputed one here

    def forward(self, parts: Sequence[Part], mask: Tensor, positions: Tensor) -> list[Tensor]:
        """Whole sequence at once, without a cache: outputs of every part; mask [B, T, T], positions
        [B, T].
        """
        rotation = rotary(positions, self.head_dim)
        tokens = [x for _, x in parts]
        for index in range(self.depth):
            blocks = [self._block(name, index) for name, _ in parts]
            tokens, _ = _layer(blocks, tokens, rotation, mask, None)
        return [self._expert(name).norm(x) for (name, _), x in zip(parts, tokens, strict=True)]

    def extend(
        self, cache: Cache | None, name: str, x: Tensor, valid: Tensor, *, output: bool
    ) -> tuple[Cache, Tensor | None]:
        """Appends a block of one expert's tokens [B, T, D]; with `output` also returns what the
        expert makes of it.

        Without it the last layer only computes keys and values: nobody reads more.
        """
        start = 0 if cache is None else cache.length[:, None]
        positions = start + valid.cumsum(1) - 1
        rotation = rotary(positions, self.head_dim)
        seen = valid if cache is None else torch.cat([cache.valid, valid], 1)
        mask = seen[:, None, :]
        stored = []
        for index in range(self.depth):
            past = cache.layers[index] if cache else None
            block = self._block(name, index)
            if index == self.depth - 1 and not output:
                stored.append(
                    _append(past, *_keys_values(block, block.input_layernorm(x), rotation))
                )
                break
            (x,), keys_values = self.layer([block], [x], rotation, mask, past)
            stored.append(keys_values)
        return Cache(tuple(stored), seen), self._expert(name).norm(x) if output else None

    def _expert(self, name: str) -> Expert:
        expert = self.experts[name]
        assert isinstance(expert, Expert)
        return expert

    def _block(self, name: str, index: int) -> Block:
        block = self._expert(name).layers[index]
        assert isinstance(block, Block)
        return block


def joint_mask(sizes: Sequence[int], valid: Tensor) -> Tensor:
    """Who sees whom [B, T, T] in a sequence of blocks of these sizes; padding ([B, T] False) is
    seen by nobody.
    """
    block = torch.repeat_interleave(
        torch.arange(len(sizes), device=valid.device), torch.tensor(sizes, device=valid.device)
    )
    return (block[None, :] <= block[:, None])[None] & valid[:, None, :]


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Grouped-query attention; q [B, heads, T, d], k and v [B, kv_heads, S, d], mask [B, T or 1,
    S]; gives [B, T, heads * d].

    The heads that share a key head are laid along the query axis, so keys and values are never
    copied per head.
    """
    batch, heads, length, dim = q.shape
    groups = heads // k.shape[1]
    mask = mask[:, None] if mask.shape[1] == 1 else mask[:, None].repeat(1, 1, groups, 1)
    result = F.scaled_dot_product_attention(
        q.reshape(batch, k.shape[1], groups * length, dim), k, v, attn_mask=mask
    )
    return result.reshape(batch, heads, length, dim).transpose(1, 2).flatten(2)


def rotary(positions: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine [B, 1, T, head_dim] of rotary position embedding, base 10,000."""
    frequency = 10_000 ** -(
        torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    )
    angle = positions[:, None, :, None].to(torch.float32) * frequency
    angle = torch.cat([angle, angle], -1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotates the pairs (i, i + d/2) of [B, heads, T, d]."""
    cosine, sine = rotation
    first, second = x.chunk(2, -1)
    return (x * cosine + torch.cat([-second, first], -1) * sine).to(x.dtype)


def _keys_values(block: Block, x: Tensor, rotation: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    k, v = block.self_attn.keys_values(x)
    return rotate(k, rotation), v


def _append(past: tuple[Tensor, Tensor] | None, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    return (k, v) if past is None else (torch.cat([past[0], k], 2), torch.cat([past[1], v], 2))


def _layer(
    blocks: Sequence[Block],
    tokens: Sequence[Tensor],
    rotation: tuple[Tensor, Tensor],
    mask: Tensor,
    past: tuple[Tensor, Tensor] | None,
) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
    """One layer over the concatenated tokens of the blocks' experts."""
    normed = [block.input_layernorm(x) for block, x in zip(blocks, tokens, strict=True)]
    queries = torch.cat(
        [block.self_attn.queries(x) for block, x in zip(blocks, normed, strict=True)], 2
    )
    pairs = [block.self_attn.keys_values(x) for block, x in zip(blocks, normed, strict=True)]
    k, v = (torch.cat(list(values), 2) for values in zip(*pairs, strict=True))
    keys_values = _append(past, rotate(k, rotation), v)
    attended = attend(rotate(queries, rotation), *keys_values, mask).split(
        [x.shape[1] for x in tokens], 1
    )
    return [
        block.finish(x, seen) for block, x, seen in zip(blocks, tokens, attended, strict=True)
    ], keys_values
