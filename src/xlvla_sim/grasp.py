"""Grasps in pinch space: one number says how far a hand is closed, and the latent turns it into a
pose of any hand.

The number is the distance from thumb tip to the tips of index and middle finger. It is measured on
a reference hand that closes along a fixed line of poses; the latent keeps the lines between
fingertips, so every hand opens as far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from xlvla import catalog
from xlvla.codec import Codec
from xlvla.hand import Hand
from xlvla.kinematics import Kinematics
from xlvla.types import Finger, Side

REFERENCE = "xhand"


def _reference(thumb: tuple[float, float, float], finger: tuple[float, float]) -> np.ndarray:
    """A pose of the reference hand: thumb joints, index side swing, two joints per finger [rad]."""
    return np.array([*thumb, 0.0, *finger * 4])


SHAPES: Mapping[str, np.ndarray] = {
    "relaxed": _reference((1.2, 0.5, 0.5), (0.9, 0.7)),
    "flat": _reference((0.0, 0.0, 0.2), (0.1, 0.1)),
}
"""Hand shapes by name: half curled with the thumb towards the fingers; straight fingers with the
thumb up.
"""

OPEN = _reference((1.5, 0.0, 0.0), (0.15, 0.1))
CLOSED = _reference((1.5, 0.9, 0.7), (1.25, 0.95))
"""The ends of the line along which the reference hand closes, thumb opposite the fingers."""

OPPOSING: tuple[Finger, Finger] = ("index", "middle")
"""Fingers that the thumb pinches with; a gripper has the first only."""


@dataclass(frozen=True)
class Grip:
    """Where a hand holds a thing: midway between thumb tip and fingertips that are `width` apart
    [m].

    Args:
        depth: distance [m] from the flange's axis out of the palm, instead of the fingertips':
            nearer than those, so that the fingers close around the thing and press it into the
            palm.
    """

    width: float
    depth: float | None = None


class Grasps:
    """Latents of hand shapes and pinch widths, and where a hand of one side then holds things."""

    def __init__(self, hand: Hand, side: Side, codec: Codec):
        self._hand = hand
        self._codec = codec
        self._side: Side = side
        self._kinematics = Kinematics(hand.urdf_model(side), hand.joint_names(side))
        self._shapes = {
            name: codec.encode(REFERENCE, "right", pose) for name, pose in SHAPES.items()
        }
        poses = OPEN + np.linspace(0, 1, 41)[:, None] * (CLOSED - OPEN)
        self._widths = _widths()
        self._latents = codec.encode(REFERENCE, "right", poses)[: len(self._widths)]

    def latent(self, shape: str | float) -> np.ndarray:
        """Latent [L] of a shape by name, or of a pinch width [m]; what is narrower than the
        reference closes is fully closed.
        """
        if isinstance(shape, str):
            return self._shapes[shape]
        columns = [np.interp(shape, self._widths[::-1], column) for column in self._latents[::-1].T]
        return np.array(columns, dtype=np.float32)

    def offset(self, grip: Grip | None) -> np.ndarray:
        """Where a grip is in the flange's frame [3] m; the flange itself for None."""
        if grip is None:
            return np.zeros(3)
        middle = self._pinch(grip.width)[1]
        return middle if grip.depth is None else np.array([grip.depth, *middle[1:]])

    def opening(self, width: float) -> float:
        """How far apart this hand's tips are [m] when it is told a pinch width."""
        return self._pinch(width)[0]

    def _pinch(self, width: float) -> tuple[float, np.ndarray]:
        return _pinch(self._hand, self._side, self._kinematics, self.pose(self.latent(width)))

    def pose(self, latents: np.ndarray) -> np.ndarray:
        """Joint positions [..., J] rad this hand may be sent."""
        return np.clip(
            self._codec.decode(self._hand.name, self._side, latents),
            *self._hand.command_range(self._side),
        )


def _pinch(
    hand: Hand, side: Side, kinematics: Kinematics, q: np.ndarray
) -> tuple[float, np.ndarray]:
    """Distance [m] between thumb tip and opposing fingertips, and the point midway [3] m in the
    flange's frame.
    """
    links = hand.tip_links(side)
    poses = kinematics.fk(q, list(links.values()))
    thumb = poses[links["thumb"]][:3, 3]
    opposing: list[Finger] = [finger for finger in OPPOSING if finger in links]
    fingers = np.mean([poses[links[finger]][:3, 3] for finger in opposing], axis=0)
    return float(np.linalg.norm(thumb - fingers)), (thumb + fingers) / 2


@cache
def _widths() -> np.ndarray:
    """Pinch widths [S] m of the reference hand while it closes, falling, as far as they do."""
    hand = catalog.hand(REFERENCE)
    kinematics = Kinematics(hand.urdf_model("right"), hand.joint_names("right"))
    poses = OPEN + np.linspace(0, 1, 41)[:, None] * (CLOSED - OPEN)
    widths = np.array([_pinch(hand, "right", kinematics, pose)[0] for pose in poses])
    return widths[: int(np.argmin(widths)) + 1]
