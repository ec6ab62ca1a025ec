"""Whether a smooth trajectory comes out smooth: fingertip jerk of the decoded path against the
source's.

The sources are minimum-jerk motions that rest in each of a few random poses. Hands differ in size,
and fingertips that cannot follow far enough move less, which is no merit: so jerk counts in
proportion to the path's length, and a path decoded by another hand is as smooth as its source at a
ratio of 1. Where the target is held by a joint limit no decoder turns as smoothly as the source
moves, so between hands of different reach some excess is in the task itself.
"""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import Generator, Tensor

from xlvla_policy.latent.embodiment import Embodiment
from xlvla_policy.latent.sampling import uniform_poses

LEG_S = 1.5
"""From one pose to the next."""
POSES = 4
MOTIONS = 24
RATES_HZ = (20, 100)
"""Of a policy's chunks, and of commands."""


def motions(body: Embodiment, rate_hz: int, generator: Generator, count: int = MOTIONS) -> Tensor:
    """Minimum-jerk motions [T, count, J] rad through `POSES` uniform random poses each."""
    poses = uniform_poses(body, POSES * count, generator).unflatten(0, (POSES, count))
    frames = round(LEG_S * rate_hz)
    t = torch.arange(frames) / frames
    part = (10 * t**3 - 15 * t**4 + 6 * t**5)[:, None, None]
    legs: list[Tensor] = []
    for start, end in pairwise(poses):
        legs.append((1 - part) * start + part * end)
    return torch.cat([*legs, poses[-1:]])


def jerk_per_metre(body: Embodiment, q: Tensor) -> float:
    """Mean size of the third differences of fingertip paths [T, N, J] rad, over the mean length of
    a step.
    """
    # Single precision is rougher than a motion at 100 Hz.
    exact = copy.deepcopy(body.tips).double()
    tips = exact(q.flatten(0, 1).double()).unflatten(0, q.shape[:2])
    jerk = tips.diff(n=3, dim=0).norm(dim=-1).mean()
    step = tips.diff(dim=0).norm(dim=-1).mean()
    return float(jerk / step)
