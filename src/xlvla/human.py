"""An operator's hand: 21 keypoints in one frame, from any tracker, and a model of human hand
motion.

The keypoints are those of MediaPipe and MANO: 0 wrist; 1-4 thumb from its root joint to its tip;
5-8 index finger from knuckle to tip; 9-12 middle, 13-16 ring, 17-20 little finger [m]. Where a
frame is needed it is the **hand frame**: the origin in the wrist, +z from there to the knuckle of
the middle finger, the knuckle of the index finger in the y-z plane, +x out of the palm; so a right
hand's thumb is towards +y, and a left hand is the mirror image y -> -y. It is MANO's frame as
dex-retargeting uses it, and turned like the flange frame of every robot hand (`xlvla.hand`), so
that lines between fingertips compare without another rotation. It is found from the keypoints
themselves: trackers disagree on the axes of a wrist, hardly on where knuckles are.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xlvla.errors import XlvlaError
from xlvla.types import FINGERS, Finger, Side

Array = NDArray[np.floating[Any]]

POINTS = 21
KNUCKLES = (5, 9, 13, 17)
TIPS: dict[Finger, int] = {"thumb": 4, "index": 8, "middle": 12, "ring": 16, "little": 20}

PALM_M = 0.0909
"""Mean distance from the wrist to the knuckles of an adult of middle size; hands of any size are
compared at this one.
"""
SMALLEST_M = 0.03
LARGEST_M = 0.2
"""No person's palm is shorter or longer."""
REACH = 4.0
"""No keypoint is so many palms from the wrist."""
FLATTEST = 0.05
"""Sine of the angle between the lines from the wrist to two knuckles, at least."""


def hand_axes(side: Side, keypoints: ArrayLike) -> Array:
    """Axes of the hand frame as columns [..., 3, 3], in the frame in which the keypoints [..., 21,
    3] are given.

    Raises:
        XlvlaError: the keypoints are no hand: not finite, collapsed, or too large.
    """
    points = checked(side, keypoints)
    z = _unit(points[..., 9, :] - points[..., 0, :])
    across = points[..., 5, :] - points[..., 9, :]
    x = _unit(_cross(across if side == "right" else -across, z))
    return np.stack([x, _cross(z, x), z], axis=-1)


def aligned(side: Side, keypoints: ArrayLike) -> Array:
    """Keypoints [..., 21, 3] m of any frame in the hand frame; errors as of `hand_axes`."""
    axes = hand_axes(side, keypoints)
    points = np.asarray(keypoints, dtype=float)
    return (points - points[..., :1, :]) @ axes


def normalised(side: Side, keypoints: ArrayLike) -> Array:
    """Keypoints [..., 21, 3] m of any frame as those of a right hand of middle size in the hand
    frame.
    """
    points = aligned(side, keypoints)
    points = points * (PALM_M / palm_m(points))[..., None, None]
    return points if side == "right" else points * MIRROR


MIRROR = np.array([1.0, -1.0, 1.0])
"""Turns a left hand into a right one, and back."""


def palm_m(keypoints: Array) -> Array:
    """Mean distance [...] m from the wrist to the knuckles; the bones between do not bend."""
    from_wrist = keypoints[..., KNUCKLES, :] - keypoints[..., :1, :]
    return np.sqrt(np.square(from_wrist).sum(-1)).mean(-1)


def checked(side: Side, keypoints: ArrayLike) -> Array:
    """The keypoints as numbers; refuses what cannot be a hand."""
    points = np.asarray(keypoints, dtype=float)
    if points.shape[-2:] != (POINTS, 3):
        raise XlvlaError(
            f"keypoints of a hand are {POINTS} points of 3 numbers, the shape given is "
            f"{points.shape}"
        )
    if not points.size:
        return points
    if not np.isfinite(points).all():
        raise XlvlaError(f"keypoints of the {side} hand hold a number that is not finite")
    from_wrist = points - points[..., :1, :]
    length = np.sqrt(np.square(from_wrist).sum(-1))
    palm = length[..., KNUCKLES].mean(-1)
    if palm.min() < SMALLEST_M or palm.max() > LARGEST_M:
        wrong = palm.min() if palm.min() < SMALLEST_M else palm.max()
        expected = f"{1000 * SMALLEST_M:.0f} to {1000 * LARGEST_M:.0f} mm"
        raise XlvlaError(
            f"keypoints of the {side} hand are no hand in metres: {1000 * wrong:.1f} mm from wrist "
            f"to knuckles, not {expected}"
        )
    if (length.max(-1) > REACH * palm).any():
        raise XlvlaError(
            f"keypoints of the {side} hand are no hand: a finger is longer than {REACH:g} palms"
        )
    index = from_wrist[..., 5, :]
    middle = from_wrist[..., 9, :]
    area = np.square(_cross(middle, index)).sum(-1)
    smallest_area = np.square(FLATTEST * length[..., 5] * length[..., 9])
    if (area <= smallest_area).any():
        raise XlvlaError(
            f"keypoints of the {side} hand are no hand: wrist and knuckles lie on one line"
        )
    return points


def _cross(a: Array, b: Array) -> Array:
    """As np.cross, which takes five times as long for one pair of vectors."""
    return a[..., NEXT] * b[..., LAST] - a[..., LAST] * b[..., NEXT]


NEXT = [1, 2, 0]
LAST = [2, 0, 1]


def _unit(vectors: Array) -> Array:
    return vectors / np.sqrt(np.square(vectors).sum(-1, keepdims=True))


@dataclass(frozen=True)
class Anatomy:
    """A person's right hand in the hand frame: where the first joints are, `roots` [..., 5, 3] m,
    and `bones` [..., 5, 3] m.

    Bones are those between keypoints, root to tip, thumb first; a fingertip is the skin's.
    """

    roots: Any
    bones: Any


ADULT = Anatomy(
    np.array(
        [
            [0.014, 0.024, 0.024],
            [0.0, 0.024, 0.091],
            [0.0, 0.0, 0.093],
            [0.003, -0.020, 0.087],
            [0.008, -0.038, 0.078],
        ]
    ),
    np.array(
        [
            [0.046, 0.032, 0.026],
            [0.040, 0.023, 0.020],
            [0.044, 0.027, 0.021],
            [0.041, 0.026, 0.021],
            [0.032, 0.019, 0.019],
        ]
    ),
)
"""Bones between joint centres as Buryanov and Kotiuk give them (Proportions of Hand Segments,
2010), last ones with the skin.
"""

JOINTS = (
    *("thumb_opposition", "thumb_spread", "thumb_mcp", "thumb_ip"),
    *(f"{finger}_{joint}" for finger in FINGERS[1:] for joint in ("spread", "mcp", "pip", "dip")),
)
LOWER = np.array([-0.2, 0.40, -0.3, -0.4, *[-0.30, -0.4, 0.0, -0.2] * 4])
UPPER = np.array([2.20, 1.20, 1.0, 1.4, *[0.30, 1.6, 1.9, 1.4] * 4])
"""Ranges [20] rad. A thumb's opposition turns it about the hand's z, from beside the palm (0) to
before it; its spread is the angle between its metacarpal and z.
"""

SPLAY = (0.05, 0.0, -0.06, -0.14)
"""How far straight fingers point aside [rad]."""
LEAN = (-0.10, 0.0, 0.12, 0.28)
"""Fingers close towards the ball of the thumb: by this angle [rad] their planes are turned."""
ROLL = 0.6
"""Angle [rad] by which a thumb bends rather across the palm than along it."""


def keypoints(side: Side, angles: ArrayLike, anatomy: Anatomy = ADULT) -> Array:
    """Keypoints [..., 21, 3] m in the hand frame of a hand with its joints at angles [..., 20]
    rad.
    """
    points = posed(np.asarray(angles, dtype=float), anatomy, np)
    return points if side == "right" else points * MIRROR


def posed(angles: Any, anatomy: Anatomy, xp: ModuleType) -> Any:
    """Keypoints of a right hand; `xp` is the library whose arrays these are, numpy or one that
    batches with gradients.
    """
    thumb, *fingers = (angles[..., 4 * finger : 4 * finger + 4] for finger in range(5))
    chains = [_thumb(thumb, xp)]
    for joints, splay, lean in zip(fingers, SPLAY, LEAN, strict=True):
        chains.append(_finger(joints, splay, lean, xp))
    points: list[Any] = []
    for finger, (along, bend, turns) in enumerate(chains):
        root = anatomy.roots[..., finger, :]
        bones = anatomy.bones[..., finger, :]
        points.append(_chain(root, bones, along, bend, turns, xp))
    wrist = xp.zeros_like(points[0][..., :1, :])
    return xp.concatenate([wrist, *points], -2)


def _thumb(joints: Any, xp: ModuleType) -> tuple[Any, Any, Any]:
    """Direction of the metacarpal, the direction it bends to, both [..., 3], and by how much the
    three bones do [..., 3] rad.
    """
    sin_o = xp.sin(joints[..., 0])
    cos_o = xp.cos(joints[..., 0])
    sin_s = xp.sin(joints[..., 1])
    cos_s = xp.cos(joints[..., 1])
    along = xp.stack([sin_s * sin_o, sin_s * cos_o, cos_s], -1)
    inwards = xp.stack([-cos_s * sin_o, -cos_s * cos_o, sin_s], -1)
    across = xp.stack([cos_o, -sin_o, 0 * sin_o], -1)
    bend = float(np.cos(ROLL)) * inwards + float(np.sin(ROLL)) * across
    return along, bend, xp.concatenate([0 * joints[..., :1], joints[..., 2:]], -1)


def _finger(joints: Any, splay: float, lean: float, xp: ModuleType) -> tuple[Any, Any, Any]:
    """As `_thumb`, of a finger."""
    sin = xp.sin(joints[..., 0] + splay)
    cos = xp.cos(joints[..., 0] + splay)
    sin_l = float(np.sin(lean))
    cos_l = float(np.cos(lean))
    along = xp.stack([-sin_l * sin, cos_l * sin, cos], -1)
    bend = xp.stack([cos_l + 0 * sin, sin_l + 0 * sin, 0 * sin], -1)
    return along, bend, joints[..., 1:]


def _chain(root: Any, bones: Any, along: Any, bend: Any, joints: Any, xp: ModuleType) -> Any:
    """A finger's root and the ends of its bones [..., 4, 3] m."""
    turned = joints.cumsum(-1)[..., None]
    directions = xp.cos(turned) * along[..., None, :] + xp.sin(turned) * bend[..., None, :]
    steps = bones[..., None] * directions
    # The zero gives the root the batch's shape.
    start = (root + 0 * steps[..., 0, :])[..., None, :]
    return xp.concatenate([start, start + steps.cumsum(-2)], -2)
