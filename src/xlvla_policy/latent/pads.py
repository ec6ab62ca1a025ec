"""Pads of fingers: how far apart the surfaces of thumb and finger are, and how they face.

A pad belongs to the last rigid body of a finger. Its surface is that of the body's collision
shapes. It faces where the fingertip goes when the last joint bends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor, nn

from xlvla.hand import Hand
from xlvla.solids import rigid_bodies
from xlvla.types import Side
from xlvla.urdf import Description, Joint, rotation
from xlvla_policy.latent.embodiment import Embodiment, embodiment
from xlvla_policy.latent.gestures import bent, opened
from xlvla_policy.latent.kinematics import Fingertips
from xlvla_policy.latent.losses import OPPOSING, pinches
from xlvla_policy.latent.sampling import uniform_poses
from xlvla_policy.latent.solids import Solids

FAR_M = 1.0
"""The gap to a finger that a hand lacks, or that has no shape: too far to count."""
TOUCH_M = 0.001
"""Surfaces nearer than this touch."""
MEETING_M = 0.01
"""Fingertips that come this near can pinch."""
SPARE = 2
"""Poses tried for each that is wanted."""
CLOSING_STEPS = 60
CLOSING_RATE = 0.03
"""Adam's steps and learning rate at first [rad per step] for closing on a finger."""


@dataclass(frozen=True)
class PadPose:
    """What the pads of poses do, for each finger in the order of `OPPOSING`.

    Args:
        gap: [B, 4] m between the surfaces of thumb and finger; negative where one is inside the
            other.
        facing: [B, 4] cosine of the angle between the pads' normals; -1 where they face each other.
    """

    gap: Tensor
    facing: Tensor

    def __getitem__(self, rows: slice | Tensor) -> PadPose:
        """Some of the poses."""
        return PadPose(self.gap[rows], self.facing[rows])


class Pads(nn.Module):
    """The pads of one side of a hand; a left hand's are its mirror image's."""

    def __init__(self, hand: Hand, side: Side):
        super().__init__()
        self.body = embodiment(hand, side)
        description = hand.description(side)
        top = rigid_bodies(description)
        tips = hand.tip_links(side)
        pad_bodies = {top[link] for link in tips.values()}
        pad_links = [link for link in description.links if top[link] in pad_bodies]
        self.solids = Solids(hand, side, pad_links)
        owners = [top[link] for link in self.solids.links]
        pairs: list[tuple[int, int]] = []
        columns: list[int] = []
        column_of: dict[frozenset[str], int] = {}
        for column, finger in enumerate(OPPOSING):
            if finger in tips:
                column_of[frozenset({top[tips["thumb"]], top[tips[finger]]})] = column
        for a, b in self.solids.pairs():
            column = column_of.get(frozenset({owners[a], owners[b]}))
            if column is not None:
                pairs.append((a, b))
                columns.append(column)
        self.pairs = nn.Buffer(torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2))
        self.column = nn.Buffer(torch.tensor(columns, dtype=torch.int64))
        links: list[str] = []
        points: list[np.ndarray] = []
        for link in tips.values():
            link_of_pad, normal = _normal(hand, side, link)
            links += [link_of_pad, link_of_pad]
            points += [np.zeros(3), normal]
        self.normals = Fingertips(
            description, hand.joint_names(side), links, points=[tuple(point) for point in points]
        )

    def forward(self, q: Tensor) -> PadPose:
        """What the pads of poses [B, J] rad do."""
        depth = self.solids.depths(q, self.pairs)
        gap = torch.full((len(q), len(OPPOSING)), FAR_M, dtype=q.dtype)
        column = self.column.expand(len(q), -1)
        gap = gap.scatter_reduce(1, column, -depth, "amin")
        ends = self.normals(q).unflatten(1, (-1, 2))
        normals = ends[:, :, 1] - ends[:, :, 0]
        fingers = self.body.fingers
        thumb = normals[:, fingers.index("thumb")]
        facing: list[Tensor] = []
        for finger in OPPOSING:
            if finger in fingers:
                facing.append((thumb * normals[:, fingers.index(finger)]).sum(-1))
            else:
                facing.append(torch.zeros_like(thumb[:, 0]))
        return PadPose(gap, torch.stack(facing, dim=1))


def touching(pads: Pads, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Up to `count` poses [B, J] rad in which the thumb's surface just touches one finger's, and
    that finger [B], by index in `OPPOSING`.

    Random poses are closed on a finger by descent, tip on tip, and then opened until the surfaces
    just meet; those in which tips or surfaces do not meet are left out.
    """
    body = pads.body
    q = uniform_poses(body, SPARE * count, generator)
    columns = pads.column.unique()
    if not len(columns):
        return q[:0], torch.zeros(0, dtype=torch.int64)
    drawn = torch.randint(len(columns), (len(q),), generator=generator)
    finger = columns[drawn]
    q, distance = _descend(lambda q: _distances(body, q, finger), body, q)
    meeting = (distance < MEETING_M).nonzero()[:count, 0]
    finger = finger[meeting]
    q, gap = _descend(lambda q: _gaps(pads, q, finger).abs(), body, q[meeting])
    return q[gap < TOUCH_M], finger[gap < TOUCH_M]


def _distances(body: Embodiment, q: Tensor, finger: Tensor) -> Tensor:
    """From the thumb's tip to that of one finger [B] m."""
    lines = pinches(body.tips(q), body.fingers)
    return lines.norm(dim=-1).gather(1, finger[:, None])[:, 0]


def _gaps(pads: Pads, q: Tensor, finger: Tensor) -> Tensor:
    """The same between the surfaces of their pads."""
    return pads(q).gap.gather(1, finger[:, None])[:, 0]


def _descend(
    cost: Callable[[Tensor], Tensor], body: Embodiment, q: Tensor
) -> tuple[Tensor, Tensor]:
    """Poses [B, J] rad within the limits that cost less than these, and what they cost [B]."""
    q = q.clone().requires_grad_()
    adam = torch.optim.Adam([q], lr=CLOSING_RATE)
    for step in range(CLOSING_STEPS):
        adam.param_groups[0]["lr"] = CLOSING_RATE * (1 - step / CLOSING_STEPS)
        adam.zero_grad()
        cost(q).sum().backward()
        adam.step()
        with torch.no_grad():
            q.clamp_(body.lower, body.upper)
    with torch.no_grad():
        return q.detach(), cost(q)


def _normal(hand: Hand, side: Side, tip: str) -> tuple[str, np.ndarray]:
    """The link whose joint moves the tip last, and the direction [3] in its frame, of length one,
    in which the tip goes when that joint bends.
    """
    description = hand.description(side)
    joint, point = _last_joint(description, tip)
    axis = np.array(joint.axis) / np.linalg.norm(joint.axis)
    direction = axis if joint.type == "prismatic" else np.cross(axis, point)
    length = float(np.linalg.norm(direction))
    # A tip on the joint's axis goes nowhere: it has no pad to speak of.
    normal = direction / length if length else np.zeros(3)
    return joint.child, _bending(hand, side, joint) * normal


def _last_joint(description: Description, tip: str) -> tuple[Joint, np.ndarray]:
    """The nearest moving joint above a tip, and the tip's place [3] m in the frame of its child."""
    above = {joint.child: joint for joint in description.joints}
    point = np.zeros(3)
    link = tip
    while not above[link].moves:
        joint = above[link]
        point = rotation(joint.rpy) @ point + np.array(joint.xyz)
        link = joint.parent
    return above[link], point


def _bending(hand: Hand, side: Side, joint: Joint) -> float:
    """1 where a joint's angle grows as the hand closes, -1 where it shrinks."""
    body: Embodiment = embodiment(hand, side)
    commanded, multiplier, _ = hand.description(side).coupling(joint)
    index = hand.joint_names(side).index(commanded.name)
    bend = float((bent(body) - opened(body))[index]) * multiplier
    return -1.0 if bend < 0 else 1.0
