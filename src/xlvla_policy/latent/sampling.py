"""Random poses to train and measure on: no demonstrations (paper, section 3)."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from xlvla_policy.latent.embodiment import Embodiment
from xlvla_policy.latent.losses import OPPOSING, pinches

TIGHT = 40
"""One random pose in `TIGHT` is a pinch: those whose thumb is nearest to a finger."""
CLOSING_RATE = 0.03
"""Adam's learning rate for closing a pinch [rad per step]."""
CHUNK = 131072
"""Poses whose fingertips are computed at once."""


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
