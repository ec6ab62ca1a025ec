"""Random poses to train and measure on: no demonstrations (paper, section 3)."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from xlvla_policy.latent.embodiment import Embodiment
from xlvla_policy.latent.losses import OPPOSING, pinches
from xlvla_policy.latent.recipe import Recipe

TIGHT = 40
"""A pose in so many is a pinch: those whose thumb is nearest to a finger."""
NOISE_RAD = 0.01
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
        self.counts.insert(0, recipe.batch - sum(self.counts))
        self.pinches = torch.cat(
            [tightest(body, recipe.pool, generator)[0], closed(body, recipe.templates, generator)]
        )
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
        chosen = torch.randint(len(self.pinches), (count,), generator=self.generator)
        noise = NOISE_RAD * torch.randn(count, self.body.width, generator=self.generator)
        return torch.clamp(self.pinches[chosen] + noise, self.body.lower, self.body.upper)

    def _half_open(self, count: int) -> Tensor:
        part = torch.rand(count, 1, generator=self.generator)
        return self.open + part * (uniform_poses(self.body, count, self.generator) - self.open)

    def _extreme(self, count: int) -> Tensor:
        # sin^2 of a uniform angle crowds at both ends of [0, 1].
        part = torch.sin(
            torch.rand(count, self.body.width, generator=self.generator) * torch.pi / 2
        ).square()
        return self.body.lower + part * (self.body.upper - self.body.lower)


def uniform_poses(body: Embodiment, count: int, generator: Generator) -> Tensor:
    return body.lower + torch.rand(count, body.width, generator=generator) * (
        body.upper - body.lower
    )


def tightest(body: Embodiment, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """The tightest 1 in `TIGHT` of so many random poses [count / TIGHT, J], and the finger of
    `OPPOSING` that pinches.
    """
    q = uniform_poses(body, count, generator)
    distance, finger = torch.cat([_distances(body, part) for part in q.split(CHUNK)]).min(dim=1)
    chosen = distance.topk(count // TIGHT, largest=False).indices
    return q[chosen], finger[chosen]


def closed(body: Embodiment, count: int, generator: Generator, steps: int = 60) -> Tensor:
    """Random poses [count, J] after the thumb and one finger each have been moved towards each
    other.
    """
    start = uniform_poses(body, count, generator)
    fingers = torch.tensor([i for i, finger in enumerate(OPPOSING) if finger in body.fingers])
    finger = fingers[torch.randint(len(fingers), (count,), generator=generator)]
    q = start.clone().requires_grad_()
    adam = torch.optim.Adam([q], lr=0.03)
    for _ in range(steps):
        adam.zero_grad()
        _distances(body, q).gather(1, finger[:, None]).sum().backward()
        adam.step()
        with torch.no_grad():
            q.clamp_(body.lower, body.upper)
    return q.detach()


def _distances(body: Embodiment, q: Tensor) -> Tensor:
    """Thumb to finger [B, 4] m; infinite where the hand lacks the finger."""
    missing = torch.tensor([finger not in body.fingers for finger in OPPOSING])
    return pinches(body.tips(q), body.fingers).norm(dim=-1).masked_fill(missing, torch.inf)
