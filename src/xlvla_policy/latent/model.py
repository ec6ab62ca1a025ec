"""The networks: per embodiment an encoder to a Gaussian and a decoder, both small MLPs (paper,
section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from xlvla_policy.latent.embodiment import Embodiment
from xlvla_policy.latent.recipe import Recipe

ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU}


class Coder(nn.Module):
    """Encoder and decoder of one embodiment."""

    middle: Tensor
    reach: Tensor

    def __init__(self, body: Embodiment, recipe: Recipe):
        super().__init__()
        self.encoder = Mlp((body.width, *recipe.encoder, 2 * recipe.latent), recipe)
        self.decoder = Mlp((recipe.latent, *recipe.decoder, body.width), recipe)
        self.register_buffer("middle", (body.lower + body.upper) / 2)
        self.register_buffer("reach", (body.upper - body.lower) / 2)

    def encode(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Joints [B, J] rad to mean and log-variance [B, L] of the latent."""
        mean, log_variance = self.encoder((q - self.middle) / self.reach).chunk(2, dim=-1)
        return mean, log_variance.clamp(-16, 4)

    def decode(self, z: Tensor) -> Tensor:
        """Latents [B, L] to joints [B, J] rad."""
        return self.middle + self.reach * torch.tanh(self.decoder(z))


class Coders(nn.Module):
    """Every embodiment's coder by name."""

    def __init__(self, bodies: Sequence[Embodiment], recipe: Recipe):
        super().__init__()
        self.by_name = nn.ModuleDict({body.name: Coder(body, recipe) for body in bodies})

    def __getitem__(self, name: str) -> Coder:
        coder = self.by_name[name]
        assert isinstance(coder, Coder)
        return coder


class Mlp(nn.Sequential):
    """Linear layers with (normalisation and) activation between them."""

    def __init__(self, widths: Sequence[int], recipe: Recipe):
        layers: list[nn.Module] = []
        for before, after in pairwise(widths[:-1]):
            norm = [nn.LayerNorm(after)] if recipe.normalised else []
            layers += [nn.Linear(before, after), *norm, ACTIVATIONS[recipe.activation]()]
        super().__init__(*layers, nn.Linear(widths[-2], widths[-1]))
        self.coarse = False

    def forward(self, input: Tensor) -> Tensor:
        """With `coarse` the hidden layers multiply in bfloat16, several times as fast."""
        if not self.coarse:
            return super().forward(input)
        with torch.autocast("cpu", torch.bfloat16):
            for layer in list(self)[:-1]:
                input = layer(input)
        return self[-1](input.float())
