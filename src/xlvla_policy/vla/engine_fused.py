"""The network as it is run: the same numbers from fewer and larger products.

Queries, keys and values come out of one product, gate and up out of another, and the scales of the
norms lie in the products that follow them. Two functions of static shape are what engines capture,
compile and export:

    observe   images, sentence, past        ->  keys and values of all that an action sees, and
    where the actions stand step      those, noisy actions, time    ->  the head's output

Files of weights know nothing of this: it is made from a model after loading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xlvla_policy.vla.expert import Block, Expert
from xlvla_policy.vla.joint import attend, rotary
from xlvla_policy.vla.model import Vla
from xlvla_policy.vla.vision import FusedAttention, Vision, scaled

Join = Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Given a layer and its new keys and values [B, kv_heads, T, head_dim], all of them so far with the
new ones behind.
"""
Project = Callable[[nn.Linear], nn.Module]
"""What a product becomes; see engine_float8."""


class Seen(NamedTuple):
    """What `observe` leaves for the steps.

    Args:
        keys, values: [layers, B, kv_heads, S, head_dim].
        cosine, sine: rotation [B, A, 1, head_dim] of the A action tokens, see `turn`.
        bias: what is added to attention scores [B, 1, 1, S + A]: nothing, or so little that nobody
            looks there.
    """

    keys: Tensor
    values: Tensor
    cosine: Tensor
    sine: Tensor
    bias: Tensor


class Layer(nn.Module):
    """One layer of an expert."""

    def __init__(self, block: Block, dtype: torch.dtype, project: Project):
        super().__init__()
        attention = block.self_attn
        mlp = block.mlp
        self.head_dim = attention.head_dim
        self.kv_heads = attention.k_proj.out_features // self.head_dim
        self.qkv = project(
            _joined(
                [attention.q_proj, attention.k_proj, attention.v_proj],
                block.input_layernorm.weight,
                dtype,
            )
        )
        self.out = project(_joined([attention.o_proj], None, dtype))
        self.gate_up = project(
            _joined([mlp.gate_proj, mlp.up_proj], block.post_attention_layernorm.weight, dtype)
        )
        self.down = project(_joined([mlp.down_proj], None, dtype))

    def project(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, T, heads, head_dim], keys and values [B, kv_heads, T, head_dim] of tokens [B,
        T, D].
        """
        made = self.qkv(norm(x)).unflatten(-1, (-1, self.head_dim))
        count = made.shape[2]
        turned, v = made.split([count - self.kv_heads, self.kv_heads], 2)
        q, k = turn(turned, rotation).split([count - 2 * self.kv_heads, self.kv_heads], 2)
        return q, k.transpose(1, 2), v.transpose(1, 2)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.out(attended)
        gate, up = self.gate_up(norm(x)).chunk(2, -1)
        return x + self.down(F.gelu(gate, approximate="tanh") * up)


class Fused(nn.Module):
    """A model ready to run on a device. The layers compute in `dtype`, what reads and writes frames
    in float32.
    """

    def __init__(
        self,
        model: Vla,
        device: torch.device,
        dtype: torch.dtype,
        project: Project = lambda linear: linear,
    ):
        super().__init__()
        self.config = model.config
        self.dtype = dtype
        language, action = (_expert(model, name) for name in ("language", "action"))
        self.vision = _vision(model.vision, dtype).to(device)
        self.words = deepcopy(model.language).to(device, dtype)
        # Layer by layer to the device: only one is ever held twice.
        self.language = nn.ModuleList(
            Layer(block, dtype, lambda linear: linear).to(device) for block in _blocks(language)
        )
        self.action = nn.ModuleList(
            Layer(block, dtype, project).to(device) for block in _blocks(action)
        )
        self.told = _joined([model.state_proj], None, torch.float32).to(device)
        self.enter, self.enter_time = (linear.to(device) for linear in _entrance(model))
        self.entered = _joined([model.action_time_mlp_out], None, torch.float32).to(device)
        self.leave = _joined([model.action_out_proj], action.norm.weight, torch.float32).to(device)
        self.eval().requires_grad_(False)

    def observe(
        self, images: Tensor, cameras: Tensor, words: Tensor, word_mask: Tensor, past: Tensor
    ) -> Seen:
        """The fields of Inputs, as `engine.fields` orders them, to what the steps need."""
        batch, count = cameras.shape
        pictures = (
            self.vision(scaled(images.flatten(0, 1)).to(self.dtype))
            .unflatten(0, (batch, count))
            .flatten(1, 2)
        )
        prefix = torch.cat([pictures.to(self.dtype), self.words(words)], 1)
        pixels = cameras[:, :, None].expand(-1, -1, self.config.vision.tokens).flatten(1)
        valid = torch.cat([pixels, word_mask], 1)
        known = self._walk(self.language, prefix, valid.long().cumsum(1) - 1, valid, ())
        told = self.told(
            past[:, -self.config.history_frames :]
            .unflatten(1, (self.config.past_tokens, -1))
            .flatten(2)
        ).to(self.dtype)
        valid, positions = _followed(valid, self.config.past_tokens)
        known = self._walk(self.action, told, positions, valid, known)
        valid, positions = _followed(valid, self.config.action_tokens)
        cosine, sine = rotation_at(positions, self.config.head_dim)
        nothing = torch.zeros(valid.shape, dtype=self.dtype, device=valid.device)
        bias = nothing.masked_fill(~valid, torch.finfo(self.dtype).min)[:, None, None, :]
        keys, values = (torch.stack(list(parts)) for parts in zip(*known, strict=True))
        return Seen(keys, values, cosine, sine, bias)

    def step(
        self, noisy: Tensor, time: Tensor, cosine: Tensor, sine: Tensor, bias: Tensor, join: Join
    ) -> Tensor:
        """The head's output [B, A, numbers] for noisy tokens of that shape; time is their embedding
        [B, A, D].
        """
        x = self.entered(F.silu(self.enter(noisy) + self.enter_time(time))).to(self.dtype)
        for index, layer in enumerate(self.action):
            assert isinstance(layer, Layer)
            q, k, v = layer.project(x, (cosine, sine))
            x = layer.finish(x, _attend_all(q, *join(index, k, v), bias))
        return self.leave(norm(x).float())

    def _walk(
        self,
        layers: nn.ModuleList,
        x: Tensor,
        positions: Tensor,
        valid: Tensor,
        known: Sequence[tuple[Tensor, Tensor]],
    ) -> list[tuple[Tensor, Tensor]]:
        """Keys and values by layer, those known already first. What the last layer would make of
        them nobody reads.
        """
        rotation = rotation_at(positions, self.config.head_dim)
        found: list[tuple[Tensor, Tensor]] = []
        for index, layer in enumerate(layers):
            assert isinstance(layer, Layer)
            q, k, v = layer.project(x, rotation)
            if known:
                k = torch.cat([known[index][0], k], 2)
                v = torch.cat([known[index][1], v], 2)
            found.append((k, v))
            if index < len(layers) - 1:
                x = layer.finish(x, attend(q.transpose(1, 2), k, v, valid[:, None, :]))
        return found


def norm(x: Tensor) -> Tensor:
    """Root-mean-square normalisation, its scale left to the product that follows."""
    if torch.onnx.is_in_onnx_export():  # in words that every ONNX runtime knows
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)
    return F.rms_norm(x, x.shape[-1:], None, 1e-6)


def rotation_at(positions: Tensor, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosine and signed sine [B, T, 1, head_dim] for `turn`."""
    cosine, sine = (part.transpose(1, 2) for part in rotary(positions, head_dim))
    first, second = sine.chunk(2, -1)
    return cosine, torch.cat([-first, second], -1)


def turn(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """`joint.rotate` of [B, T, heads, d] in fewer steps."""
    cosine, sine = rotation
    return torch.addcmul(x * cosine, x.roll(x.shape[-1] // 2, -1), sine).to(x.dtype)


def _attend_all(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """`joint.attend` for q [B, T, heads, d], with a bias for a mask, as two products.

    So few queries leave the one kernel for all most of a GPU idle. Laid token by token, no result
    needs to be moved for one key head.
    """
    _, length, heads, dim = q.shape
    shape = (k.shape[1], heads // k.shape[1])
    q = q.unflatten(2, shape).transpose(1, 2).flatten(2, 3)
    seen = torch.add(bias, q @ k.transpose(-1, -2), alpha=dim**-0.5).softmax(-1) @ v
    return seen.unflatten(2, (length, shape[1])).transpose(1, 2).flatten(2)


def _followed(valid: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Validity with so many valid tokens more, and the positions [B, count] of these."""
    more = torch.ones_like(valid[:, :1]).expand(-1, count)
    return torch.cat([valid, more], 1), valid.long().sum(1, keepdim=True) + more.long().cumsum(
        1
    ) - 1


def _joined(linears: Sequence[nn.Linear], scale: Tensor | None, dtype: torch.dtype) -> nn.Linear:
    """Several products of the same input as one; of a normed input when `scale` is that norm's
    weight.
    """
    weight = torch.cat([linear.weight.detach().float() for linear in linears])
    weight = weight if scale is None else weight * (1 + scale.detach().float())
    biases = [
        linear.state_dict()["bias"].float() for linear in linears if "bias" in linear.state_dict()
    ]
    bias = torch.cat(biases) if biases else None
    return _linear(weight, bias, dtype)


def _entrance(model: Vla) -> tuple[nn.Linear, nn.Linear]:
    """Noisy tokens and time into the hidden layer of their network, one product each."""
    weight, time = model.action_time_mlp_in.weight.detach().float().chunk(2, 1)
    project = model.action_in_proj
    bias = weight @ project.bias.detach().float() + model.action_time_mlp_in.bias.detach().float()
    return _linear(weight @ project.weight.detach().float(), bias, torch.float32), _linear(
        time, None, torch.float32
    )


def _linear(weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> nn.Linear:
    with torch.device("meta"):
        made = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    made.weight = nn.Parameter(weight.to(dtype).contiguous(), requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias.to(dtype), requires_grad=False)
    return made


def _vision(vision: Vision, dtype: torch.dtype) -> Vision:
    vision = deepcopy(vision).to(dtype)
    for layer in vision.layers:
        layer.self_attn = FusedAttention(layer.self_attn)  # pyright: ignore[reportArgumentType]
    return vision


def _expert(model: Vla, name: str) -> Expert:
    expert = model.joint.experts[name]
    assert isinstance(expert, Expert)
    return expert


def _blocks(expert: Expert) -> list[Block]:
    return [block for block in expert.layers if isinstance(block, Block)]
