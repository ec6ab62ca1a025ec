"""The network as it is run: the same numbers from fewer and larger products.

Queries, keys and values come out of one product, gate and up out of another, and the scales of the
norms are multiplied into the products that follow them. Engines capture, compile and export two
functions of static shape:

    observe   images, sentence, past             ->  what the steps need, see `Seen`
    step      that, noisy actions, their times   ->  the head's output

Files of weights know nothing of this: it is made from a model after loading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xlvla_policy.vla.expert import NORM_EPSILON, Block, Expert
from xlvla_policy.vla.joint import KeysValues, Rotation, attend, rotary
from xlvla_policy.vla.model import Vla
from xlvla_policy.vla.vision import FusedAttention, Vision, scaled

Join = Callable[[int, Tensor, Tensor], KeysValues]
"""From the index of a layer and its new keys and values [B, kv_heads, T, head_dim] to all of them,
the new ones last.
"""
Project = Callable[[nn.Linear], nn.Module]
"""The module that computes a product; see engine_float8."""


def unchanged(linear: nn.Linear) -> nn.Module:
    """The `Project` that leaves products as they are."""
    return linear


class Seen(NamedTuple):
    """What `observe` leaves for the steps.

    Args:
        keys, values: [layers, B, kv_heads, S, head_dim].
        cosine, sine: rotation [B, A, 1, head_dim] of the A action tokens, see `rotate`.
        bias: what is added to attention scores [B, 1, 1, S + A]: 0, or the lowest number where
            there is padding.
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
        input_scale = block.input_layernorm.weight
        mlp_scale = block.post_attention_layernorm.weight
        qkv = _joined([attention.q_proj, attention.k_proj, attention.v_proj], input_scale, dtype)
        gate_up = _joined([mlp.gate_proj, mlp.up_proj], mlp_scale, dtype)
        self.qkv = project(qkv)
        self.out = project(_joined([attention.o_proj], None, dtype))
        self.gate_up = project(gate_up)
        self.down = project(_joined([mlp.down_proj], None, dtype))

    def project(self, x: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [B, T, heads, head_dim], keys and values [B, kv_heads, T, head_dim] of tokens [B,
        T, D].
        """
        qkv = self.qkv(norm(x)).unflatten(-1, (-1, self.head_dim))
        qk_heads = qkv.shape[2] - self.kv_heads
        qk, v = qkv.split([qk_heads, self.kv_heads], 2)
        q, k = rotate(qk, rotation).split([qk_heads - self.kv_heads, self.kv_heads], 2)
        return q, k.transpose(1, 2), v.transpose(1, 2)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """The rest of the layer after the attention [B, T, heads * head_dim]."""
        x = x + self.out(attended)
        gate, up = self.gate_up(norm(x)).chunk(2, -1)
        gated = F.gelu(gate, approximate="tanh") * up
        return x + self.down(gated)


class Fused(nn.Module):
    """A model ready to run on a device. The layers compute in `dtype`, what reads and writes frames
    in float32.
    """

    def __init__(
        self,
        model: Vla,
        device: torch.device,
        dtype: torch.dtype,
        project: Project = unchanged,
    ):
        super().__init__()
        self.config = model.config
        self.dtype = dtype
        language = _expert(model, "language")
        action = _expert(model, "action")
        self.vision = _vision(model.vision, dtype).to(device)
        self.words = deepcopy(model.language).to(device, dtype)
        self.language = nn.ModuleList()
        self.action = nn.ModuleList()
        # Layer by layer to the device: only one is ever held twice.
        for block in _blocks(language):
            self.language.append(Layer(block, dtype, unchanged).to(device))
        for block in _blocks(action):
            self.action.append(Layer(block, dtype, project).to(device))
        single = torch.float32
        action_in, time_in = _action_and_time_in(model)
        self.state_in = _joined([model.state_proj], None, single).to(device)
        self.action_in = action_in.to(device)
        self.time_in = time_in.to(device)
        self.action_time_out = _joined([model.action_time_mlp_out], None, single).to(device)
        self.action_out = _joined([model.action_out_proj], action.norm.weight, single).to(device)
        self.eval().requires_grad_(False)

    def observe(
        self, images: Tensor, cameras: Tensor, words: Tensor, word_mask: Tensor, past: Tensor
    ) -> Seen:
        """The fields of Inputs, as `engine.fields` orders them, to what the steps need."""
        config = self.config
        prefix, valid = self._prefix(images, cameras, words, word_mask)
        positions = valid.long().cumsum(1) - 1
        cache = self._extended(self.language, prefix, positions, valid, ())

        state_history = past[:, -config.history_frames :]
        grouped = state_history.unflatten(1, (config.past_tokens, -1)).flatten(2)
        state = self.state_in(grouped).to(self.dtype)
        valid, positions = _with_more(valid, config.past_tokens)
        cache = self._extended(self.action, state, positions, valid, cache)

        valid, positions = _with_more(valid, config.action_tokens)
        cosine, sine = rotation_at(positions, config.head_dim)
        no_bias = torch.zeros(valid.shape, dtype=self.dtype, device=valid.device)
        bias = no_bias.masked_fill(~valid, torch.finfo(self.dtype).min)[:, None, None, :]
        keys = torch.stack([k for k, _ in cache])
        values = torch.stack([v for _, v in cache])
        return Seen(keys, values, cosine, sine, bias)

    def step(
        self, noisy: Tensor, time: Tensor, cosine: Tensor, sine: Tensor, bias: Tensor, join: Join
    ) -> Tensor:
        """The head's output [B, A, numbers] for noisy tokens of that shape; time is their embedding
        [B, A, D].
        """
        hidden = F.silu(self.action_in(noisy) + self.time_in(time))
        x = self.action_time_out(hidden).to(self.dtype)
        for index, layer in enumerate(self.action):
            assert isinstance(layer, Layer)
            q, k, v = layer.project(x, (cosine, sine))
            all_k, all_v = join(index, k, v)
            x = layer.finish(x, _attend_all(q, all_k, all_v, bias))
        return self.action_out(norm(x).float())

    def _prefix(
        self, images: Tensor, cameras: Tensor, words: Tensor, word_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens [B, P, D] of images and sentence, and their validity [B, P]."""
        batch, count = cameras.shape
        pixels = scaled(images.flatten(0, 1)).to(self.dtype)
        image_tokens = self.vision(pixels).unflatten(0, (batch, count)).flatten(1, 2)
        tokens = torch.cat([image_tokens.to(self.dtype), self.words(words)], 1)
        image_valid = cameras[:, :, None].expand(-1, -1, self.config.vision.tokens).flatten(1)
        return tokens, torch.cat([image_valid, word_mask], 1)

    def _extended(
        self,
        layers: nn.ModuleList,
        x: Tensor,
        positions: Tensor,
        valid: Tensor,
        cache: Sequence[KeysValues],
    ) -> list[KeysValues]:
        """Keys and values by layer: those of the cache, then those of the tokens x [B, T, D]. The
        output of the last layer is not computed, since nothing uses it.
        """
        rotation = rotation_at(positions, self.config.head_dim)
        extended: list[KeysValues] = []
        for index, layer in enumerate(layers):
            assert isinstance(layer, Layer)
            q, k, v = layer.project(x, rotation)
            if cache:
                cached_k, cached_v = cache[index]
                k = torch.cat([cached_k, k], 2)
                v = torch.cat([cached_v, v], 2)
            extended.append((k, v))
            if index < len(layers) - 1:
                attended = attend(q.transpose(1, 2), k, v, valid[:, None, :])
                x = layer.finish(x, attended)
        return extended


def norm(x: Tensor) -> Tensor:
    """Root-mean-square normalisation, its scale left to the product that follows."""
    if torch.onnx.is_in_onnx_export():
        # In operators that every ONNX runtime knows.
        mean_square = x.square().mean(-1, keepdim=True)
        return x * torch.rsqrt(mean_square + NORM_EPSILON)
    return F.rms_norm(x, x.shape[-1:], None, NORM_EPSILON)


def rotation_at(positions: Tensor, head_dim: int) -> Rotation:
    """Cosine and signed sine [B, T, 1, head_dim] for `rotate`."""
    cosine, sine = rotary(positions, head_dim)
    first, second = sine.transpose(1, 2).chunk(2, -1)
    return cosine.transpose(1, 2), torch.cat([-first, second], -1)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """`joint.rotate` of [B, T, heads, d] in fewer steps."""
    cosine, sine = rotation
    # In tuples: a bare size is a tensor while torch 2.7 traces, and roll wants none.
    other_half = x.roll((x.shape[-1] // 2,), (-1,))
    return torch.addcmul(x * cosine, other_half, sine).to(x.dtype)


def _attend_all(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """`joint.attend` for q [B, T, heads, d], with a bias for a mask, as two products.

    With so few queries, the single fused kernel would leave most of a GPU idle. Queries are laid
    token by token, so that with one key head no result needs to be moved.
    """
    _, length, heads, dim = q.shape
    kv_heads = k.shape[1]
    groups = heads // kv_heads
    q = q.unflatten(2, (kv_heads, groups)).transpose(1, 2).flatten(2, 3)
    scores = torch.add(bias, q @ k.transpose(-1, -2), alpha=dim**-0.5)
    attended = scores.softmax(-1) @ v
    return attended.unflatten(2, (length, groups)).transpose(1, 2).flatten(2)


def _with_more(valid: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Validity [B, S + count] with `count` more valid tokens, and their positions [B, count]."""
    more = torch.ones_like(valid[:, :1]).expand(-1, count)
    start = valid.long().sum(1, keepdim=True)
    positions = start + more.long().cumsum(1) - 1
    return torch.cat([valid, more], 1), positions


def _joined(linears: Sequence[nn.Linear], scale: Tensor | None, dtype: torch.dtype) -> nn.Linear:
    """Several products of the same input as one; of a normed input when `scale` is that norm's
    weight.
    """
    weight = torch.cat([linear.weight.detach().float() for linear in linears])
    if scale is not None:
        weight = weight * (1 + scale.detach().float())
    biases: list[Tensor] = []
    for linear in linears:
        tensors = linear.state_dict()
        if "bias" in tensors:
            biases.append(tensors["bias"].float())
    bias = torch.cat(biases) if biases else None
    return _linear(weight, bias, dtype)


def _action_and_time_in(model: Vla) -> tuple[nn.Linear, nn.Linear]:
    """Noisy tokens and time into the hidden layer of their network, one product each."""
    hidden = model.action_time_mlp_in
    project = model.action_in_proj
    of_action, of_time = hidden.weight.detach().float().chunk(2, 1)
    weight = of_action @ project.weight.detach().float()
    bias = of_action @ project.bias.detach().float() + hidden.bias.detach().float()
    action_in = _linear(weight, bias, torch.float32)
    time_in = _linear(of_time, None, torch.float32)
    return action_in, time_in


def _linear(weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> nn.Linear:
    # On the meta device, so that no initial values are drawn.
    with torch.device("meta"):
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    linear.weight = nn.Parameter(weight.to(dtype).contiguous(), requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias.to(dtype), requires_grad=False)
    return linear


def _vision(vision: Vision, dtype: torch.dtype) -> Vision:
    """A copy of the image tower with fused attention."""
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
