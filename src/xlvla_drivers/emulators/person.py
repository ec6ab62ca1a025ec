"""Hands of somebody who is not there: they wander before the body and open and close, as an
emulated headset or glove sees them.
"""

from __future__ import annotations

import numpy as np

from xlvla.types import Side
from xlvla_drivers.teleop.closing import closed

REACH_M = np.array([0.06, 0.05, 0.04])
"""How far a wrist wanders forward, aside and up."""

TURN_RAD = 0.25
PERIODS_S = np.array([5.3, 7.1, 4.1])
GRASP_S = 6.0
TREMOR_HZ = 9.0
TREMOR_M = 0.0003
"""No hand is ever still."""


def hand(side: Side, time_s: float) -> tuple[np.ndarray, np.ndarray]:
    """The wrist's pose [4, 4] in the person's world, hands before them with the palms inwards, and
    keypoints [21, 3] m.
    """
    aside = 1.0 if side == "left" else -1.0
    # Hands that moved alike would hide which is which.
    later = 0.0 if side == "left" else 1.3
    phase = 2 * np.pi * time_s / PERIODS_S + later
    middle = np.array([0.35, 0.2 * aside, 1.1])
    wandering = REACH_M * np.sin(phase)
    tremor = TREMOR_M * np.sin(2 * np.pi * TREMOR_HZ * time_s + np.arange(3))
    turn = TURN_RAD * np.sin(phase[::-1])
    T_world_wrist = np.eye(4)
    T_world_wrist[:3, 3] = middle + wandering + tremor
    T_world_wrist[:3, :3] = _about(turn) @ inwards(side)
    amount = 0.5 - 0.5 * np.cos(2 * np.pi * time_s / GRASP_S)
    return T_world_wrist, closed(side, amount)


def inwards(side: Side) -> np.ndarray:
    """Axes [3, 3] of the hand frame with fingers ahead and the palm to the other hand."""
    inward = -1.0 if side == "left" else 1.0
    palm = np.array([0.0, inward, 0.0])
    ahead = np.array([1.0, 0.0, 0.0])
    return np.stack([palm, np.cross(ahead, palm), ahead], axis=1)


def _about(turn: np.ndarray) -> np.ndarray:
    """Rotation [3, 3] by a vector."""
    angle = float(np.linalg.norm(turn))
    if angle < 1e-9:
        return np.eye(3)
    x, y, z = turn / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    # Rodrigues' formula.
    sin = np.sin(angle)
    cos = np.cos(angle)
    return np.eye(3) + sin * cross + (1 - cos) * (cross @ cross)
