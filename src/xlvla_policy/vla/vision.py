"""The image tower: a SigLIP-style vision transformer and the projector to the language model's width."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xlvla_policy.vla.config import VisionConfig


class Embeddings(nn.Module):
    """Images [B, 3, H, W] in [-1, 1] to patch tokens [B, P, D] with learned positions.

    Positions start small and convolutions at full gain: what is seen must not drown in where it is seen.
    """

    def __init__(self, config: VisionConfig):
        super().__init__()
        channels = (3, *config.stem)
        self.stem = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in zip(channels, channels[1:], strict=False))
        self.patch_embedding = nn.Conv2d(channels[-1], config.dim, config.patch, config.patch)
        self.position_embedding = nn.Embedding(config.tokens, config.dim)
        nn.init.normal_(self.position_embedding.weight, std=0.1)
        for convolution in self.stem:
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)
        nn.init.kaiming_normal_(self.patch_embedding.weight, nonlinearity="linear")
        nn.init.zeros_(self.patch_embedding.bias)

    def forward(self, images: Tensor) -> Tensor:
        for convolution in self.stem:
            images = F.gelu(convolution(images), approximate="tanh")
        return self.patch_embedding(images).flatten(2).transpose(1, 2) + self.position_embedding.weight


class Attention(nn.Module):
    """Bidirectional multi-head attention with biases."""

    def __init__(self, config: VisionConfig):
        super().__init__()
        self.heads = config.heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(config.dim, config.dim) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (projection(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for projection in (self.q_proj, self.k_proj, self.v_proj))
        return self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, config: VisionConfig):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(config.dim, config.mlp), nn.Linear(config.mlp, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Layer(nn.Module):
    def __init__(self, config: VisionConfig):
        super().__init__()
        self.layer_norm1, self.layer_norm2 = (nn.LayerNorm(config.dim, eps=1e-6) for _ in range(2))
        self.self_attn, self.mlp = Attention(config), Mlp(config)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class Vision(nn.Module):
    """Images [B, 3, H, W] in [-1, 1] to tokens [B, P, out_dim] of the language model."""

    def __init__(self, config: VisionConfig, out_dim: int):
        super().__init__()
        self.embeddings = Embeddings(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.post_layernorm = nn.LayerNorm(config.dim, eps=1e-6)
        self.projector = nn.Linear(config.dim, out_dim)

    def forward(self, images: Tensor) -> Tensor:
        x = self.embeddings(images)
        for layer in self.layers:
            x = layer(x)
        return self.projector(self.post_layernorm(x))


def scaled(images: Tensor) -> Tensor:
    """uint8 [..., H, W, 3] to [..., 3, H, W] in [-1, 1]; the memory stays channels-last, which convolutions like best."""
    return images.to(torch.float32).movedim(-1, -3) / 127.5 - 1
