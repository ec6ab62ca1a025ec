"""Relative following: the flange moves as the wrist moves, from where both were when the clutch was
closed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FASTEST_M_S = 6.0
FASTEST_RAD_S = 30.0
"""No wrist of a person moves or turns faster."""

NOISE_M = 0.04
NOISE_RAD = 0.4
"""A tracker may be off by this much without having lost the hand."""


@dataclass(frozen=True)
class Clutch:
    """The poses of wrist and flange when the clutch was closed, and how motion is transferred.

    Args:
        T_world_wrist: of the operator [4, 4], in their world.
        T_world_flange: of the robot [4, 4], in its world.
        R_robot_operator: rotation [3, 3] from the operator's world to the robot's.
        scale: metres of the flange for one of the wrist; turns are never scaled.
    """

    T_world_wrist: np.ndarray
    T_world_flange: np.ndarray
    R_robot_operator: np.ndarray
    scale: float = 1.0

    def target(self, T_world_wrist: np.ndarray) -> np.ndarray:
        """The pose [4, 4] of the flange for a pose of the wrist: moved and turned about the same
        directions.
        """
        moved = T_world_wrist[:3, 3] - self.T_world_wrist[:3, 3]
        turned = T_world_wrist[:3, :3] @ self.T_world_wrist[:3, :3].T
        R = self.R_robot_operator
        target = np.eye(4)
        target[:3, 3] = self.T_world_flange[:3, 3] + self.scale * (R @ moved)
        target[:3, :3] = R @ turned @ R.T @ self.T_world_flange[:3, :3]
        return target


def turned(degrees: float) -> np.ndarray:
    """Rotation [3, 3] about the vertical, to the left."""
    cos = np.cos(np.radians(degrees))
    sin = np.sin(np.radians(degrees))
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def jumped(before: np.ndarray, now: np.ndarray, dt: float) -> bool:
    """Whether a wrist went from one pose [4, 4] to another faster than a person can."""
    moved = float(np.linalg.norm(now[:3, 3] - before[:3, 3]))
    cosine = (np.trace(before[:3, :3].T @ now[:3, :3]) - 1) / 2
    angle = float(np.arccos(np.clip(cosine, -1.0, 1.0)))
    too_far = moved > NOISE_M + FASTEST_M_S * dt
    turned_too_far = angle > NOISE_RAD + FASTEST_RAD_S * dt
    return too_far or turned_too_far
