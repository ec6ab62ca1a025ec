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
ROOT_SPREAD_M = 0.003
SIZES = (0.80, 1.15)
"""How people differ: each bone, where fingers begin, and the whole hand; a child's is the smallest.
"""
TOUCHING_M = (0.0, 0.012)
NEAR_M = (0.012, 0.05)
"""Distances of thumb tip to fingertip in touching and in nearly touching pinches, as trackers see
them.
"""
FOLLOWS = 0.65
"""Part by which a last joint bends with the one before: they share a tendon."""
CURL = torch.tensor([1.35, 1.6])
"""How far knuckles and middle joints bend in a fist [rad]."""
FASTEST = 0.1
"""How far a joint goes at first in a step that closes a pinch [rad]."""
PINCHING = (
    [(k,) for k in range(1, 5)] * 4 + [(1, 2)] * 4 + list(itertools.combinations(range(1, 5), 3))
)
"""Which fingers a thumb meets: one, most of the time."""
LOWER, UPPER = (torch.tensor(limit, dtype=torch.float32) for limit in (human.LOWER, human.UPPER))


@dataclass(frozen=True)
class HumanPoses:
    """Poses of as many people: joints [N, 20] rad, their anatomies, and the finger [N] each
    pinches, 0 where none.
    """

    angles: Tensor
    roots: Tensor
    bones: Tensor
    pinching: Tensor

    def __len__(self) -> int:
        return len(self.angles)

    def __getitem__(self, chosen: Tensor | slice) -> HumanPoses:
        return HumanPoses(
            self.angles[chosen], self.roots[chosen], self.bones[chosen], self.pinching[chosen]
        )

    def points(self) -> Tensor:
        """Keypoints [N, 21, 3] m of right hands of their own sizes."""
        return human.posed(self.angles, Anatomy(self.roots, self.bones), torch)


def random_human_poses(count: int, generator: Generator) -> HumanPoses:
    """Half of them natural poses, the rest pinches."""
    roots, bones = anatomies(count, generator)
    pinched = count // 2
    fingers = torch.tensor([PINCHING[k][0] for k in range(len(PINCHING))])
    which = torch.randint(len(PINCHING), (pinched,), generator=generator)
    meeting = torch.zeros(len(PINCHING), 5, dtype=torch.bool)
    for row, group in enumerate(PINCHING):
        meeting[row, list(group)] = True
    angles = natural(count, generator)
    angles[:pinched] = pinch(Anatomy(roots[:pinched], bones[:pinched]), meeting[which], generator)
    return HumanPoses(
        angles,
        roots,
        bones,
        torch.cat([fingers[which], torch.zeros(count - pinched, dtype=torch.long)]),
    )


def anatomies(count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Where fingers begin [N, 5, 3] m, and bones [N, 5, 3] m, of people of all sizes."""
    roots, bones = (torch.tensor(part, dtype=torch.float32) for part in (ADULT.roots, ADULT.bones))
    size = torch.empty(count, 1, 1).uniform_(*SIZES, generator=generator)
    moved = roots + ROOT_SPREAD_M * torch.randn(count, 5, 3, generator=generator).clamp(-2, 2)
    longer = bones * (1 + BONE_SPREAD * torch.randn(count, 5, 3, generator=generator).clamp(-2, 2))
    return size * moved, size * longer


def natural(count: int, generator: Generator) -> Tensor:
    """Joints [N, 20] rad: fingers that curl more or less together, each joint in its own way, and
    thumbs anywhere.
    """
    together = torch.rand(count, 1, generator=generator)
    alike = torch.rand(count, 1, generator=generator)
    curl = alike * together + (1 - alike) * torch.rand(count, 4, generator=generator)
    part = (curl[..., None] + 0.15 * torch.randn(count, 4, 2, generator=generator)).clamp(-0.1, 1.1)
    spread = 0.12 * torch.randn(count, 4, 1, generator=generator)
    bent = part * CURL
    last = FOLLOWS * bent[..., 1:] + 0.1 * torch.randn(count, 4, 1, generator=generator)
    thumb = LOWER[:4] + torch.rand(count, 4, generator=generator) * (UPPER - LOWER)[:4]
    return torch.cat([thumb, torch.cat([spread, bent, last], -1).flatten(1)], -1).clamp(
        LOWER, UPPER
    )


def pinch(anatomy: Anatomy, meeting: Tensor, generator: Generator, steps: int = 80) -> Tensor:
    """Natural poses [N, 20] rad closed until the thumb is as far as it should be from the fingers
    it meets [N, 5].
    """
    count = len(meeting)
    start = natural(count, generator)
    touching = torch.rand(count, 1, generator=generator) < 0.65
    near, far = (
        torch.empty(count, 1).uniform_(*span, generator=generator) for span in (TOUCHING_M, NEAR_M)
    )
    wanted = torch.where(touching, near, far)
    q = start.clone().requires_grad_()
    adam = torch.optim.Adam([q], lr=FASTEST)
    moved = meeting.clone()
    moved[:, 0] = True
    free = moved.repeat_interleave(4, dim=1)
    for step in range(steps):
        adam.param_groups[0]["lr"] = FASTEST * (1 - step / steps)
        adam.zero_grad()
        missed = (distances(human.posed(q, anatomy, torch)) - wanted).square() * meeting[:, 1:]
        (1e4 * missed.sum(-1) + 0.02 * (q - start).square().sum(-1) + unlike(q)).sum().backward()
        q.grad = torch.where(free, q.grad, 0.0) if q.grad is not None else None
        adam.step()
        with torch.no_grad():
            q.clamp_(LOWER, UPPER)
    return q.detach()


def unlike(q: Tensor) -> Tensor:
    """How little [N] last joints follow and fingers stay beside each other."""
    spread, _, middle, last = q[:, 4:].unflatten(1, (4, 4)).unbind(-1)
    return 0.05 * ((last - FOLLOWS * middle).square() + 2 * spread.square()).sum(-1)


def distances(points: Tensor) -> Tensor:
    """From thumb tip to the other tips [N, 4] m."""
    return torch.sqrt(lines(points).square().sum(-1) + 1e-10)


def lines(points: Tensor) -> Tensor:
    """Lines from thumb tip to the other tips [N, 4, 3] m."""
    tips = points[:, [human.TIPS[finger] for finger in FINGERS]]
    return tips[:, 1:] - tips[:, :1]


def tracked(points: Tensor, noise_m: float, generator: Generator) -> Tensor:
    """What the encoder is shown [N, 21, 3] m of keypoints as a tracker sees them, jittering by so
    much.
    """
    seen = points + noise_m * torch.randn(points.shape, generator=generator)
    return torch.from_numpy(human.normalised("right", seen.double().numpy()).astype(np.float32))
