"""Random poses to train and measure on: no demonstrations (paper, section 3)."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from xlvla_policy.latent.embodiment import Embodiment
from xlvla_policy.latent.losses import OPPOSING, pinches
from xlvla_policy.latent.recipe import Recipe

TIGHT = 40
"""One random pose in `TIGHT` is a pinch: those whose thumb is nearest to a finger."""
NOISE_RAD = 0.01
"""Standard deviation that is added to a pinch's joints each time it is drawn."""
CLOSING_RATE = 0.03
"""Adam's learning rate for closing a pinch [rad per step]."""
CHUNK = 131072
"""Poses whose fingertips are computed at once."""


class Sampler:
    """Batches of poses of one embodiment, after a recipe's mixture.

    Pinches come from two pools: the tightest of many random poses, and random poses closed on a
    finger by descending on the distance. Half-open poses lie between the open hand (zero) and a
    random pose; extreme ones crowd at the limits.
    """

    def __init__(self, body: Embodiment, recipe: Recipe, generator: Generator):
        self.body = body
        self.generator = generator
        total = sum(recipe.mixture)
        self.counts = [round(recipe.batch * share / total) for share in recipe.mixture[1:]]
        # What rounding leaves over is uniform.
        self.counts.insert(0, recipe.batch - sum(self.counts))
        tight, _ = tightest(body, recipe.pool, generator)
        self.pinches = torch.cat([tight, closed(body, recipe.templates, generator)])
        self.open = torch.zeros_like(body.lower).clamp(body.lower, body.upper)

    def __call__(self) -> Tensor:
        """Poses [B, J] rad."""
        uniform, pinch, half_open, extreme = self.counts
        return torch.cat(
            [
                uniform_poses(self.body, uniform, self.generator),
                self._pinched(pinch),
                self._half_open(half_open),
                self._extreme(extreme),
            ]
        )

    def _pinched(self, count: int) -> Tensor:
        drawn = torch.randint(len(self.pinches), (count,), generator=self.generator)
        noise = NOISE_RAD * torch.randn(count, self.body.width, generator=self.generator)
        return torch.clamp(self.pinches[drawn] + noise, self.body.lower, self.body.upper)

    def _half_open(self, count: int) -> Tensor:
        part = torch.rand(count, 1, generator=self.generator)
        poses = uniform_poses(self.body, count, self.generator)
        return self.open + part * (poses - self.open)

    def _extreme(self, count: int) -> Tensor:
        # sin^2 of a uniform angle crowds at both ends of [0, 1].
        angle = torch.rand(count, self.body.width, generator=self.generator) * torch.pi / 2
        part = torch.sin(angle).square()
        return self.body.lower + part * (self.body.upper - self.body.lower)


def uniform_poses(body: Embodiment, count: int, generator: Generator) -> Tensor:
    """Poses [count, J] rad, uniform within the joint limits."""
    part = torch.rand(count, body.width, generator=generator)
    return body.lower + part * (body.upper - body.lower)


def tightest(body: Embodiment, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """The tightest 1 in `TIGHT` of `count` random poses [count / TIGHT, J] rad, and the finger that
    pinches, by index in `OPPOSING`.
    """
    q = uniform_poses(body, count, generator)
    distances = torch.cat([_distances(body, part) for part in q.split(CHUNK)])
    distance, finger = distances.min(dim=1)
    tight = distance.topk(count // TIGHT, largest=False).indices
    return q[tight], finger[tight]


def closed(body: Embodiment, count: int, generator: Generator, steps: int = 60) -> Tensor:
    """Random poses [count, J] rad after the thumb and one finger each have been moved towards each
    other.
    """
    q = uniform_poses(body, count, generator)
    columns = [column for column, finger in enumerate(OPPOSING) if finger in body.fingers]
    drawn = torch.randint(len(columns), (count,), generator=generator)
    pinching = torch.tensor(columns)[drawn]
    q.requires_grad_()
    adam = torch.optim.Adam([q], lr=CLOSING_RATE)
    for _ in range(steps):
        adam.zero_grad()
        distance = _distances(body, q).gather(1, pinching[:, None])
        distance.sum().backward()
        adam.step()
        with torch.no_grad():
            q.clamp_(body.lower, body.upper)
    return q.detach()


def _distances(body: Embodiment, q: Tensor) -> Tensor:
    """Thumb to finger [B, 4] m; infinite where the hand lacks the finger."""
    missing = torch.tensor([finger not in body.fingers for finger in OPPOSING])
    distances = pinches(body.tips(q), body.fingers).norm(dim=-1)
    return distances.masked_fill(missing, torch.inf)
