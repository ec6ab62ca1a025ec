"""The networks: per embodiment an encoder to a Gaussian and a decoder, both small MLPs (paper,
section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from xlvla_policy.latent.embodiment import Embodiment
from xlvla_policy.latent.precision import coarse_dtype
from xlvla_policy.latent.recipe import Recipe

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU}
LOG_VARIANCE = (-16, 4)
"""Outside of it the exponential of a log-variance is of no use to training."""


class Coder(nn.Module):
    """Encoder and decoder of one embodiment."""

    def __init__(self, body: Embodiment, recipe: Recipe):
        super().__init__()
        self.encoder = Mlp((body.width, *recipe.encoder, 2 * recipe.latent), recipe)
        self.decoder = Mlp((recipe.latent, *recipe.decoder, body.width), recipe)
        # Limits are facts of one side of a hand, no weights: who copies weights leaves them.
        self.lower = nn.Buffer(body.lower, persistent=False)
        self.upper = nn.Buffer(body.upper, persistent=False)
        self.middle = nn.Buffer((body.lower + body.upper) / 2, persistent=False)
        self.reach = nn.Buffer((body.upper - body.lower) / 2, persistent=False)

    def trained_between(self, lower: Sequence[float], upper: Sequence[float]) -> None:
        """Sets the limits [J] rad that networks were trained with, where the device's are
        narrower.
        """
        low = torch.tensor(lower, dtype=self.middle.dtype)
        high = torch.tensor(upper, dtype=self.middle.dtype)
        self.middle.copy_((low + high) / 2)
        self.reach.copy_((high - low) / 2)

    def encode(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Joints [B, J] rad to mean and log-variance [B, L] of the latent."""
        posterior = self.encoder((q - self.middle) / self.reach)
        mean, log_variance = posterior.chunk(2, dim=-1)
        return mean, log_variance.clamp(*LOG_VARIANCE)

    def decode(self, z: Tensor) -> Tensor:
        """Latents [B, L] to joints [B, J] rad, within the limits."""
        q = self.middle + self.reach * torch.tanh(self.decoder(z))
        return q.clamp(self.lower, self.upper)


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
        *hidden, outputs = widths
        layers: list[nn.Module] = []
        for before, after in pairwise(hidden):
            layers.append(nn.Linear(before, after))
            if recipe.normalised:
                layers.append(nn.LayerNorm(after))
            layers.append(ACTIVATIONS[recipe.activation]())
        layers.append(nn.Linear(hidden[-1], outputs))
        super().__init__(*layers)
        self.coarse = False

    def forward(self, input: Tensor) -> Tensor:
        """With `coarse` the hidden layers multiply in bfloat16, where that is faster."""
        if not self.coarse or coarse_dtype() == torch.float32:
            return super().forward(input)
        *hidden, last = self
        with torch.autocast("cpu", torch.bfloat16):
            for layer in hidden:
                input = layer(input)
        return last(input.float())
