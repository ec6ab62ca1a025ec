"""The image tower: a SigLIP-style vision transformer and the projector to the language model's
width.
"""

from __future__ import annotations

import itertools
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xlvla_policy.vla.config import VisionConfig

NORM_EPSILON = 1e-6


class Stem(nn.Module):
    """3x3 convolutions of stride 2; none at full size, where images go to the patches as they
    are.
    """

    def __init__(self, channels: tuple[int, ...]):
        super().__init__()
        self.convolutions = nn.ModuleList()
        for inputs, outputs in itertools.pairwise(channels):
            convolution = nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1)
            self.convolutions.append(_full_gain(convolution, "relu"))

    def forward(self, images: Tensor) -> Tensor:
        for convolution in self.convolutions:
            images = F.gelu(convolution(images), approximate="tanh")
        return images


class PatchEmbedding(nn.Conv2d):
    """A convolution whose patches lie side by side.

    On a CPU in bfloat16 it is a product of matrices: of some numbers of channels oneDNN's
    convolution for AMX makes quite other numbers (findings/amx_convolution_is_wrong.sh).
    """

    def forward(self, input: Tensor) -> Tensor:
        """Images [B, C, H, W] to [B, D, rows, columns]."""
        if not _is_half_on_cpu(input):
            return super().forward(input)
        patches = F.unfold(input, self.kernel_size, stride=self.stride).transpose(1, 2)
        tokens = F.linear(patches, self.weight.flatten(1), self.bias)
        rows = input.shape[-2] // self.stride[0]
        return tokens.transpose(1, 2).unflatten(2, (rows, -1))


def _is_half_on_cpu(images: Tensor) -> bool:
    """Whether what is computed of them is computed in bfloat16 on a CPU."""
    if images.device.type != "cpu":
        return False
    return images.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")


class Embeddings(nn.Module):
    """Images or feature maps [B, C, H, W] to patch tokens [B, P, D] with learned positions.

    Positions start small and convolutions at full gain: the content of a patch must not drown in
    its position.
    """

    def __init__(self, config: VisionConfig, channels: int):
        super().__init__()
        patches = PatchEmbedding(
            channels, config.dim, kernel_size=config.patch, stride=config.patch
        )
        self.patch_embedding = _full_gain(patches, "linear")
        self.position_embedding = nn.Embedding(config.patches, config.dim)
        nn.init.normal_(self.position_embedding.weight, std=0.1)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patch_embedding(images).flatten(2).transpose(1, 2)
        return patches + self.position_embedding.weight


class Keypoints(nn.Module):
    """Coordinates of learned keypoints as tokens [B, K, D]: expectations under heat maps.

    A spatial softmax (Levine et al., 2016) localises to a fraction of a pixel after a few hundred
    steps; patch tokens alone need many more samples for it. Every map is biased to a part of the
    image, since objects that look alike (two cans) would otherwise pull the same map to their
    middle.
    """

    def __init__(self, channels: int, points: int, tokens: int, dim: int):
        super().__init__()
        refine = nn.Conv2d(channels, channels, kernel_size=3, stride=1, padding=1)
        self.refine = _full_gain(refine, "relu")
        heat = nn.Conv2d(channels, points, kernel_size=1)
        self.heat = _full_gain(heat, "relu")
        self.gain = nn.Parameter(torch.full((points, 1), 4.0))
        self.lean = nn.Parameter(nn.init.normal_(torch.empty(points, 2), std=3.0))
        self.read_in = nn.Linear(2 * points, 2 * dim)
        self.read_out = nn.Linear(2 * dim, tokens * dim)
        self.tokens = tokens

    def forward(self, features: Tensor) -> Tensor:
        features = features + F.gelu(self.refine(features), approximate="tanh")
        heat = self.heat(features)
        grid = coordinates(heat.shape[2], heat.shape[3], heat.device)
        normed = F.layer_norm(heat.flatten(2).float(), (len(grid),))
        bias = self.lean.float() @ grid.T
        probability = (normed * self.gain + bias).softmax(-1)
        points = (2 * (probability @ grid)).to(features.dtype)
        hidden = F.gelu(self.read_in(points.flatten(1)), approximate="tanh")
        return self.read_out(hidden).unflatten(1, (self.tokens, -1))


def coordinates(height: int, width: int, device: torch.device) -> Tensor:
    """x and y [height * width, 2] of every cell, from -1 to 1."""
    rows = torch.linspace(-1, 1, height, device=device)
    columns = torch.linspace(-1, 1, width, device=device)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)


def _full_gain(convolution: nn.Conv2d, nonlinearity: Literal["relu", "linear"]) -> nn.Conv2d:
    """The convolution, initialised so that its outputs vary as much as its inputs."""
    nn.init.kaiming_normal_(convolution.weight, nonlinearity=nonlinearity)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


class Attention(nn.Module):
    """Bidirectional multi-head attention with biases."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.heads = config.heads
        self.q_proj = nn.Linear(config.dim, config.dim)
        self.k_proj = nn.Linear(config.dim, config.dim)
        self.v_proj = nn.Linear(config.dim, config.dim)
        self.out_proj = nn.Linear(config.dim, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        q = self._heads(self.q_proj(x))
        k = self._heads(self.k_proj(x))
        v = self._heads(self.v_proj(x))
        attended = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(attended.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        """[B, T, D] to [B, heads, T, head_dim]."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class FusedAttention(nn.Module):
    """`Attention` with its queries, keys and values from one product."""

    def __init__(self, attention: Attention):
        super().__init__()
        projections = attention.q_proj, attention.k_proj, attention.v_proj
        weight = torch.cat([projection.weight.detach() for projection in projections])
        bias = torch.cat([projection.bias.detach() for projection in projections])
        self.heads = attention.heads
        self.out_proj = attention.out_proj
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        qkv = F.linear(x, self.weight, self.bias)
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(attended.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """The feed-forward layer of the image tower."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.fc1 = nn.Linear(config.dim, config.mlp)
        self.fc2 = nn.Linear(config.mlp, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Layer(nn.Module):
    """One layer of the image tower, normed before attention and feed-forward layer."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.dim, eps=NORM_EPSILON)
        self.layer_norm2 = nn.LayerNorm(config.dim, eps=NORM_EPSILON)
        self.self_attn = Attention(config)
        self.mlp = Mlp(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Vision(nn.Module):
    """Images [B, 3, H, W] in [-1, 1] to tokens [B, P, out_dim] of the language model."""

    def __init__(self, config: VisionConfig, out_dim: int):
        super().__init__()
        channels = (3, *config.stem)
        self.stem = Stem(channels)
        self.embeddings = Embeddings(config, channels[-1])
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.post_layernorm = nn.LayerNorm(config.dim, eps=NORM_EPSILON)
        self.projector = nn.Linear(config.dim, out_dim)
        self.keypoints = None
        if config.points:
            self.keypoints = Keypoints(channels[-1], config.points, config.point_tokens, out_dim)

    def forward(self, images: Tensor) -> Tensor:
        features = self.stem(images.to(self.projector.weight.dtype))
        x = self.embeddings(features)
        for layer in self.layers:
            x = layer(x)
        tokens = self.projector(self.post_layernorm(x))
        if self.keypoints is None:
            return tokens
        keypoints = self.keypoints(features).to(tokens.dtype)
        return torch.cat([tokens, keypoints], 1)


def scaled(images: Tensor) -> Tensor:
    """uint8 [..., H, W, 3] to [..., 3, H, W] in [-1, 1]; the memory stays channels-last, which
    convolutions like best.
    """
    channels_first = images.to(torch.float32).transpose(-1, -2).transpose(-2, -3)
    return channels_first / 127.5 - 1
