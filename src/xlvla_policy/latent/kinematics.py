"""Batched differentiable forward kinematics of fingertips, straight from a URDF.

A fingertip needs no frames, only a point carried from the tip link up to the root. Each joint in
between maps the point affinely for a given angle, p' = a + (M0 + M1 cos q + M2 sin q) p + s q, with
constants from the URDF. All fingers of a hand go up one level of the tree per step; shorter fingers
are padded with identities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from xlvla.errors import XlvlaError
from xlvla.hand import Hand
from xlvla.types import Finger, Side
from xlvla.urdf import Description, Joint, rotation

MIRROR = (1.0, -1.0, 1.0)
"""Turns a left hand's points into the right hand's in the common flange frame: y -> -y."""


@dataclass(frozen=True)
class Coupling:
    """A moving joint as the commanded joint it follows: angle = multiplier * q[index] + offset."""

    index: int
    multiplier: float
    offset: float


@dataclass(frozen=True)
class Level:
    """One moving joint between a tip and the root, fixed joints above it folded in.

    Args:
        maps: [3, 9] M0, M1, M2 transposed, side by side.
        shift: [3] the constant a [m].
        slide: [3] s [m per m]; zero for a joint that turns.
    """

    maps: np.ndarray
    shift: np.ndarray
    slide: np.ndarray
    coupling: Coupling


@dataclass(frozen=True)
class Chain:
    """The joints from a point of a link up to the root.

    Args:
        start: [3] m the point in the frame of the last moving joint.
        levels: the moving joints, the one nearest to the point first.
    """

    start: np.ndarray
    levels: list[Level]


class Fingertips(nn.Module):
    """Positions of some links of a description as a function of its commanded joints."""

    def __init__(
        self,
        description: Description,
        joints: Sequence[str],
        links: Sequence[str],
        scale: Sequence[float] = (1.0, 1.0, 1.0),
        dtype: torch.dtype = torch.float32,
        points: Sequence[Sequence[float]] | None = None,
    ):
        """`scale` multiplies the positions: `MIRROR` shows a left hand as a right one.

        `points` [m] are one of each link in its frame; None: the links' origins.
        """
        super().__init__()
        if points is None:
            points = [(0.0, 0.0, 0.0)] * len(links)
        chains: list[Chain] = []
        for link, point in zip(links, points, strict=True):
            chains.append(_chain(description, link, point, joints))
        depth = max(1, *(len(chain.levels) for chain in chains))
        count = len(chains)

        # Levels that a shorter finger lacks stay identities: M0 = I, everything else zero.
        start = np.zeros((count, 3))
        maps = np.zeros((depth, count, 3, 9))
        maps[..., :3] = np.eye(3)
        shift = np.zeros((depth, count, 3))
        slide = np.zeros((depth, count, 3))
        multiplier = np.zeros((depth, count))
        offset = np.zeros((depth, count))
        index = np.zeros((depth, count), dtype=np.int64)
        for finger, chain in enumerate(chains):
            start[finger] = chain.start
            for number, level in enumerate(chain.levels):
                maps[number, finger] = level.maps
                shift[number, finger] = level.shift
                slide[number, finger] = level.slide
                multiplier[number, finger] = level.coupling.multiplier
                offset[number, finger] = level.coupling.offset
                index[number, finger] = level.coupling.index

        self.start = _buffer(start, dtype)
        self.maps = _buffer(maps, dtype)
        self.shift = _buffer(shift, dtype)
        self.slide = _buffer(slide, dtype)
        self.multiplier = _buffer(multiplier, dtype)
        self.offset = _buffer(offset, dtype)
        self.scale = _buffer(np.array(scale), dtype)
        self.index = _buffer(index, torch.int64)
        self.depth = depth
        self.sliding = [bool(np.any(level)) for level in slide]

    def forward(self, q: Tensor) -> Tensor:
        """Commanded joints [B, J] to positions [B, F, 3] m in the root frame."""
        angle = q.T[self.index] * self.multiplier[..., None] + self.offset[..., None]
        cos = angle.cos()[..., None]
        sin = angle.sin()[..., None]
        point = self.start[:, None].expand(-1, q.shape[0], -1)
        for d in range(self.depth):
            still, along, across = torch.bmm(point, self.maps[d]).split(3, dim=-1)
            point = self.shift[d][:, None] + still + cos[d] * along + sin[d] * across
            if self.sliding[d]:
                point = point + angle[d][..., None] * self.slide[d][:, None]
        return point.transpose(0, 1) * self.scale


def fingertips(hand: Hand, side: Side) -> tuple[tuple[Finger, ...], Fingertips]:
    """Fingers and their tips in the flange frame; a left hand appears mirrored, as a right one."""
    links = hand.tip_links(side)
    scale = MIRROR if side == "left" else (1.0, 1.0, 1.0)
    description = hand.description(side)
    joints = hand.joint_names(side)
    tips = Fingertips(description, joints, tuple(links.values()), scale)
    return tuple(links), tips


def couple(description: Description, joint: Joint, joints: Sequence[str]) -> Coupling:
    """Follows mimics, chained ones too, down to a commanded joint."""
    joint, multiplier, offset = description.coupling(joint)
    if joint.name not in joints:
        raise XlvlaError(
            f"joint '{joint.name}' of {description.name} moves a fingertip but is not commanded"
        )
    return Coupling(list(joints).index(joint.name), multiplier, offset)


def _buffer(table: np.ndarray, dtype: torch.dtype) -> nn.Buffer:
    """A table that moves with its module to another device, but is no part of any weights."""
    return nn.Buffer(torch.tensor(table, dtype=dtype), persistent=False)


def _chain(
    description: Description, link: str, point: Sequence[float], joints: Sequence[str]
) -> Chain:
    if link not in description.links:
        raise XlvlaError(f"link '{link}' is not in {description.name}")
    above = {joint.child: joint for joint in description.joints}
    start = np.array(point, dtype=float)
    levels: list[Level] = []
    while link in above:
        joint = above[link]
        turn = rotation(joint.rpy)
        origin = np.array(joint.xyz)
        if joint.moves:
            coupling = couple(description, joint, joints)
            levels.append(_level(joint, turn, origin, coupling))
        elif levels:
            levels[-1] = _fold(levels[-1], turn, origin)
        else:
            start = turn @ start + origin
        link = joint.parent
    return Chain(start, levels)


def _level(joint: Joint, turn: np.ndarray, origin: np.ndarray, coupling: Coupling) -> Level:
    axis = np.array(joint.axis) / np.linalg.norm(joint.axis)
    if joint.type == "prismatic":
        maps = _side_by_side(turn, 0 * turn, 0 * turn)
        return Level(maps, origin, turn @ axis, coupling)
    if joint.type not in ("revolute", "continuous"):
        raise XlvlaError(
            f"joint '{joint.name}' is {joint.type}; fingertips know revolute, continuous, "
            "prismatic and fixed joints"
        )
    # Rodrigues' formula: the part along the axis stays, the rest turns by cos and sin.
    along = np.outer(axis, axis)
    cross = np.cross(np.eye(3), axis)
    maps = _side_by_side(turn @ along, turn @ (np.eye(3) - along), turn @ cross)
    return Level(maps, origin, np.zeros(3), coupling)


def _fold(level: Level, turn: np.ndarray, origin: np.ndarray) -> Level:
    """The level with a fixed joint put above it."""
    parts = [part @ turn.T for part in np.split(level.maps, 3, axis=1)]
    maps = np.concatenate(parts, axis=1)
    return Level(maps, turn @ level.shift + origin, turn @ level.slide, level.coupling)


def _side_by_side(*matrices: np.ndarray) -> np.ndarray:
    """[3, 9] transposed."""
    return np.concatenate([matrix.T for matrix in matrices], axis=1)
