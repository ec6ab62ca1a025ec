"""Random human hand poses of random anatomies: natural poses, pinches of every finger, open hands
and fists; no recordings.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from xlvla import human
from xlvla.human import ADULT, Anatomy
from xlvla.types import FINGERS

BONE_SPREAD = 0.06
"""How the length of each bone differs among people: standard deviation, as a part of it."""
ROOT_SPREAD_M = 0.003
"""How the place where a finger begins differs."""
SIZES = (0.80, 1.15)
"""How whole hands differ; a child's is the smallest."""
CURL_SPREAD = 0.15
"""Standard deviation of each joint of a finger from its curl, as a part of `CURL`."""
SPREAD_RAD = 0.12
"""Of fingers to the side."""
LAST_SPREAD_RAD = 0.1
"""Of last joints from what the middle joint makes them do."""
TOUCHING = 0.65
"""Share of pinches that touch."""
TOUCHING_M = (0.0, 0.012)
NEAR_M = (0.012, 0.05)
"""Distances of thumb tip to fingertip in touching and in nearly touching pinches, as trackers see
them.
"""
FOLLOWS = 0.65
"""Part by which a last joint bends with the one before: they share a tendon."""
CURL = torch.tensor([1.35, 1.6])
"""How far knuckles and middle joints bend in a fist [rad]."""
MISSED = 1e4
"""Cost [1/m^2] of pinching at another distance than wanted."""
MOVED = 0.02
"""Cost [1/rad^2] of leaving the natural pose that a pinch begins with."""
FASTEST = 0.1
"""How far a joint goes at first in a step that closes a pinch [rad]."""
PINCHING: list[tuple[int, ...]] = [
    *[(1,), (2,), (3,), (4,)] * 4,
    *[(1, 2)] * 4,
    *itertools.combinations(range(1, 5), 3),
]
"""Which fingers a thumb meets, by index in `FINGERS`: one, most of the time; each as likely."""
LOWER = torch.tensor(human.LOWER, dtype=torch.float32)
UPPER = torch.tensor(human.UPPER, dtype=torch.float32)
"""Joint limits [20] rad."""


@dataclass(frozen=True)
class HumanPoses:
    """Poses of N people.

    Args:
        angles: [N, 20] rad.
        roots, bones: [N, 5, 3] m their anatomies.
        pinching: [N] index in `FINGERS` of the (first) finger that is pinched, 0 where none.
    """

    angles: Tensor
    roots: Tensor
    bones: Tensor
    pinching: Tensor

    def __len__(self) -> int:
        return len(self.angles)

    def __getitem__(self, rows: Tensor | slice) -> HumanPoses:
        return HumanPoses(
            angles=self.angles[rows],
            roots=self.roots[rows],
            bones=self.bones[rows],
            pinching=self.pinching[rows],
        )

    def points(self) -> Tensor:
        """Keypoints [N, 21, 3] m of right hands of their own sizes."""
        return human.posed(self.angles, Anatomy(self.roots, self.bones), torch)


def random_human_poses(count: int, generator: Generator) -> HumanPoses:
    """Half of them natural poses, the rest pinches."""
    roots, bones = anatomies(count, generator)
    pinched = count // 2
    drawn = torch.randint(len(PINCHING), (pinched,), generator=generator)
    first = torch.tensor([group[0] for group in PINCHING])
    meeting = torch.zeros(len(PINCHING), 5, dtype=torch.bool)
    for row, group in enumerate(PINCHING):
        meeting[row, list(group)] = True
    angles = natural(count, generator)
    pinching_people = Anatomy(roots[:pinched], bones[:pinched])
    angles[:pinched] = pinch(pinching_people, meeting[drawn], generator)
    none = torch.zeros(count - pinched, dtype=torch.long)
    return HumanPoses(angles, roots, bones, torch.cat([first[drawn], none]))


def anatomies(count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Where fingers begin [N, 5, 3] m, and bones [N, 5, 3] m, of people of all sizes."""
    roots = torch.tensor(ADULT.roots, dtype=torch.float32)
    bones = torch.tensor(ADULT.bones, dtype=torch.float32)
    size = torch.empty(count, 1, 1).uniform_(*SIZES, generator=generator)
    # Beyond two standard deviations hands would look deformed.
    shift = ROOT_SPREAD_M * torch.randn(count, 5, 3, generator=generator).clamp(-2, 2)
    stretch = BONE_SPREAD * torch.randn(count, 5, 3, generator=generator).clamp(-2, 2)
    return size * (roots + shift), size * (bones * (1 + stretch))


def natural(count: int, generator: Generator) -> Tensor:
    """Joints [N, 20] rad: fingers that curl more or less together, each joint in its own way, and
    thumbs anywhere.
    """
    together = torch.rand(count, 1, generator=generator)
    alike = torch.rand(count, 1, generator=generator)
    alone = torch.rand(count, 4, generator=generator)
    curl = alike * together + (1 - alike) * alone
    stray = CURL_SPREAD * torch.randn(count, 4, 2, generator=generator)
    part = (curl[..., None] + stray).clamp(-0.1, 1.1)
    spread = SPREAD_RAD * torch.randn(count, 4, 1, generator=generator)
    bent = part * CURL
    stray = LAST_SPREAD_RAD * torch.randn(count, 4, 1, generator=generator)
    last = FOLLOWS * bent[..., 1:] + stray
    thumb = LOWER[:4] + torch.rand(count, 4, generator=generator) * (UPPER - LOWER)[:4]
    # Of each finger in turn: spread, knuckle, middle joint, last joint.
    fingers = torch.cat([spread, bent, last], -1).flatten(1)
    return torch.cat([thumb, fingers], -1).clamp(LOWER, UPPER)


def pinch(anatomy: Anatomy, meeting: Tensor, generator: Generator, steps: int = 80) -> Tensor:
    """Natural poses [N, 20] rad closed until the thumb is as far as it should be from the fingers
    it meets [N, 5].
    """
    count = len(meeting)
    start = natural(count, generator)
    touching = torch.rand(count, 1, generator=generator) < TOUCHING
    touch = torch.empty(count, 1).uniform_(*TOUCHING_M, generator=generator)
    near = torch.empty(count, 1).uniform_(*NEAR_M, generator=generator)
    wanted = torch.where(touching, touch, near)
    q = start.clone().requires_grad_()
    adam = torch.optim.Adam([q], lr=FASTEST)
    moved = meeting.clone()
    moved[:, 0] = True
    free = moved.repeat_interleave(4, dim=1)
    for step in range(steps):
        adam.param_groups[0]["lr"] = FASTEST * (1 - step / steps)
        adam.zero_grad()
        error = distances(human.posed(q, anatomy, torch)) - wanted
        missed = error.square() * meeting[:, 1:]
        moved_far = (q - start).square().sum(-1)
        cost = MISSED * missed.sum(-1) + MOVED * moved_far + unlike(q)
        cost.sum().backward()
        # Fingers that do not meet the thumb keep their natural pose.
        assert q.grad is not None
        q.grad = torch.where(free, q.grad, 0.0)
        adam.step()
        with torch.no_grad():
            q.clamp_(LOWER, UPPER)
    return q.detach()


def unlike(q: Tensor) -> Tensor:
    """How much poses [N, 20] rad are unlike a person's, [N] rad^2: last joints do not follow, or
    fingers are spread.
    """
    spread, _, middle, last = q[:, 4:].unflatten(1, (4, 4)).unbind(-1)
    independent = (last - FOLLOWS * middle).square()
    return 0.05 * (independent + 2 * spread.square()).sum(-1)


def distances(points: Tensor) -> Tensor:
    """From thumb tip to the other tips [N, 4] m."""
    return torch.sqrt(lines(points).square().sum(-1) + 1e-10)


def lines(points: Tensor) -> Tensor:
    """Lines from thumb tip to the other tips [N, 4, 3] m."""
    tips = points[:, [human.TIPS[finger] for finger in FINGERS]]
    return tips[:, 1:] - tips[:, :1]


def tracked(points: Tensor, noise_m: float, generator: Generator) -> Tensor:
    """What the encoder is shown [N, 21, 3] m of keypoints that a tracker sees with that noise."""
    seen = points + noise_m * torch.randn(points.shape, generator=generator)
    normalised = human.normalised("right", seen.double().numpy())
    return torch.from_numpy(normalised.astype(np.float32))
