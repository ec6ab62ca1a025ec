"""Batches of random poses to train on, after a recipe's mixture."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from xlvla_policy.latent.embodiment import Embodiment
from xlvla_policy.latent.gestures import bent, moving, opened
from xlvla_policy.latent.pads import Pads, touching
from xlvla_policy.latent.recipe import Recipe
from xlvla_policy.latent.sampling import closed, tightest, uniform_poses

KINDS = 6
"""Of poses in a batch."""
STRAY = 0.1
"""Standard deviation of a joint's part in a closing from that of all."""
NOISE_RAD = 0.01
"""Standard deviation that is added to a pinch's joints each time it is drawn."""


class Sampler:
    """Batches of poses of one embodiment, after a recipe's mixture.

    Pinches come from two pools: the tightest of many random poses, and random poses closed on a
    finger by descending on the distance. Half-open poses lie between the open hand (zero) and a
    random pose; extreme ones crowd at the limits. In touching poses the surfaces of thumb and a
    finger just meet (`pads`); closing ones leave the thumb out while the fingers bend.
    """

    def __init__(self, body: Embodiment, recipe: Recipe, generator: Generator):
        self.body = body
        self.generator = generator
        total = sum(recipe.mixture)
        self.counts = [round(recipe.batch * share / total) for share in recipe.mixture[1:]]
        # A recipe of four kinds has none of the others.
        self.counts += [0] * (KINDS - len(recipe.mixture))
        # What rounding leaves over is uniform.
        self.counts.insert(0, recipe.batch - sum(self.counts))
        tight, _ = tightest(body, recipe.pool, generator)
        self.pinches = torch.cat([tight, closed(body, recipe.templates, generator)])
        self.touching = self.pinches[:0]
        if self.counts[4]:
            pads = Pads(body.hand, body.sides[0])
            self.touching, _ = touching(pads, recipe.templates, generator)
        self.open = opened(body)
        self.bend = bent(body) - self.open
        self.thumb = moving(body.hand, body.sides[0], "thumb")

    def __call__(self) -> Tensor:
        """Poses [B, J] rad."""
        uniform, pinch, half_open, extreme, touch, closing = self.counts
        return torch.cat(
            [
                uniform_poses(self.body, uniform, self.generator),
                self._near(self.pinches, pinch),
                self._half_open(half_open),
                self._extreme(extreme),
                self._touching(touch),
                self._closing(closing),
            ]
        )

    def _near(self, pool: Tensor, count: int) -> Tensor:
        drawn = torch.randint(len(pool), (count,), generator=self.generator)
        noise = NOISE_RAD * torch.randn(count, self.body.width, generator=self.generator)
        return torch.clamp(pool[drawn] + noise, self.body.lower, self.body.upper)

    def _half_open(self, count: int) -> Tensor:
        part = torch.rand(count, 1, generator=self.generator)
        poses = uniform_poses(self.body, count, self.generator)
        return self.open + part * (poses - self.open)

    def _extreme(self, count: int) -> Tensor:
        # sin^2 of a uniform angle crowds at both ends of [0, 1].
        angle = torch.rand(count, self.body.width, generator=self.generator) * torch.pi / 2
        part = torch.sin(angle).square()
        return self.body.lower + part * (self.body.upper - self.body.lower)

    def _touching(self, count: int) -> Tensor:
        if not count:
            return self.pinches[:0]
        if not len(self.touching):
            # A hand whose pads cannot touch pinches instead.
            return self._near(self.pinches, count)
        return self._near(self.touching, count)

    def _closing(self, count: int) -> Tensor:
        """All fingers bend, each a little more or less than the others; the thumb stays out."""
        if not count:
            return self.pinches[:0]
        together = torch.rand(count, 1, generator=self.generator)
        stray = STRAY * torch.randn(count, self.body.width, generator=self.generator)
        part = (together + stray).clamp(0, 1)
        thumb_part = stray.abs().clamp(max=1)
        return self.open + torch.where(self.thumb, thumb_part, part) * self.bend
