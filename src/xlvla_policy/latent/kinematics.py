"""Batched differentiable forward kinematics of fingertips, straight from a URDF.

A fingertip needs no frames, only a point carried from the tip link up to the root. Each joint on
the way maps the point affinely for a given angle, p' = a + (M0 + M1 cos q + M2 sin q) p + s q, with
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
    """One moving joint on the way from a tip to the root, fixed joints below it folded in.

    Args:
        maps: [3, 9] M0, M1, M2 transposed, side by side.
        shift: [3] the constant a [m].
        slide: [3] s [m per m]; zero for a joint that turns.
    """

    maps: np.ndarray
    shift: np.ndarray
    slide: np.ndarray
    coupling: Coupling


class Fingertips(nn.Module):
    """Positions of some links of a description as a function of its commanded joints."""

    start: Tensor
    maps: Tensor
    shift: Tensor
    slide: Tensor
    multiplier: Tensor
    offset: Tensor
    scale: Tensor
    index: Tensor

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
        places = points if points is not None else [(0.0, 0.0, 0.0)] * len(links)
        chains = [
            _chain(description, link, place, joints)
            for link, place in zip(links, places, strict=True)
        ]
        depth = max(1, *(len(levels) for _, levels in chains))
        padded = [[*levels, *[_IDENTITY] * (depth - len(levels))] for _, levels in chains]
        tables = {
            "start": np.array([start for start, _ in chains]),
            "maps": np.array([[finger[d].maps for finger in padded] for d in range(depth)]),
            "shift": np.array([[finger[d].shift for finger in padded] for d in range(depth)]),
            "slide": np.array([[finger[d].slide for finger in padded] for d in range(depth)]),
            "multiplier": np.array(
                [[finger[d].coupling.multiplier for finger in padded] for d in range(depth)]
            ),
            "offset": np.array(
                [[finger[d].coupling.offset for finger in padded] for d in range(depth)]
            ),
            "scale": np.array(scale),
        }
        for name, table in tables.items():
            self.register_buffer(name, torch.tensor(table, dtype=dtype), persistent=False)
        index = [[finger[d].coupling.index for finger in padded] for d in range(depth)]
        self.register_buffer("index", torch.tensor(index), persistent=False)
        self.sliding = [bool(np.any(table)) for table in tables["slide"]]
        self.depth = depth

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
    return tuple(links), Fingertips(
        hand.description(side), hand.joint_names(side), tuple(links.values()), scale
    )


def couple(description: Description, joint: Joint, joints: Sequence[str]) -> Coupling:
    """Follows mimics, chained ones too, down to a commanded joint."""
    joint, multiplier, offset = description.coupling(joint)
    if joint.name not in joints:
        raise XlvlaError(
            f"joint '{joint.name}' of {description.name} moves a fingertip but is not commanded"
        )
    return Coupling(list(joints).index(joint.name), multiplier, offset)


def _chain(
    description: Description, link: str, point: Sequence[float], joints: Sequence[str]
) -> tuple[np.ndarray, list[Level]]:
    """A link's point in the frame of the last moving joint [3], and the levels from there up to the
    root.
    """
    if link not in description.links:
        raise XlvlaError(f"link '{link}' is not in {description.name}")
    above = {joint.child: joint for joint in description.joints}
    start = np.array(point, dtype=float)
    levels = []
    while link in above:
        joint = above[link]
        turn = rotation(joint.rpy)
        origin = np.array(joint.xyz)
        if joint.moves:
            levels.append(_level(joint, turn, origin, couple(description, joint, joints)))
        elif levels:
            levels[-1] = _fold(levels[-1], turn, origin)
        else:
            start = turn @ start + origin
        link = joint.parent
    return start, levels


def _level(joint: Joint, turn: np.ndarray, origin: np.ndarray, coupling: Coupling) -> Level:
    axis = np.array(joint.axis) / np.linalg.norm(joint.axis)
    if joint.type == "prismatic":
        return Level(_side_by_side(turn, 0 * turn, 0 * turn), origin, turn @ axis, coupling)
    if joint.type not in ("revolute", "continuous"):
        raise XlvlaError(
            f"joint '{joint.name}' is {joint.type}; fingertips know revolute, continuous, "
            "prismatic and fixed joints"
        )
    along = np.outer(axis, axis)
    cross = np.cross(np.eye(3), axis)
    return Level(
        _side_by_side(turn @ along, turn @ (np.eye(3) - along), turn @ cross),
        origin,
        np.zeros(3),
        coupling,
    )


def _fold(level: Level, turn: np.ndarray, origin: np.ndarray) -> Level:
    """The level with a fixed joint put above it."""
    maps = np.concatenate([part @ turn.T for part in np.split(level.maps, 3, axis=1)], axis=1)
    return Level(maps, turn @ level.shift + origin, turn @ level.slide, level.coupling)


def _side_by_side(*matrices: np.ndarray) -> np.ndarray:
    return np.concatenate([matrix.T for matrix in matrices], axis=1)


_IDENTITY = Level(
    _side_by_side(np.eye(3), np.zeros((3, 3)), np.zeros((3, 3))),
    np.zeros(3),
    np.zeros(3),
    Coupling(0, 0.0, 0.0),
)
