"""Engage-relative following: the flange goes as the wrist goes, from where both were when the
clutch was closed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FASTEST_M_S = 6.0
FASTEST_RAD_S = 30.0
"""No wrist of a person moves or turns faster."""
NOISE_M = 0.04
NOISE_RAD = 0.4
"""A tracker may be off by so much without having lost the hand."""


@dataclass(frozen=True)
class Clutch:
    """Two poses that were at the same time, and how movements carry over.

    Args:
        T_world_wrist: of the operator, in their world.
        T_world_flange: of the robot, in its world.
        R_robot_operator: turns directions [3, 3] of the operator's world into the robot's.
        scale: metres of the flange for one of the wrist; turns are never scaled.
    """

    T_world_wrist: np.ndarray
    T_world_flange: np.ndarray
    R_robot_operator: np.ndarray
    scale: float = 1.0

    def target(self, T_world_wrist: np.ndarray) -> np.ndarray:
        """Where the flange should be [4, 4] with the wrist there: moved and turned about the same
        directions as the wrist was.
        """
        went = T_world_wrist[:3, 3] - self.T_world_wrist[:3, 3]
        turned = T_world_wrist[:3, :3] @ self.T_world_wrist[:3, :3].T
        over = self.R_robot_operator
        target = np.eye(4)
        target[:3, 3] = self.T_world_flange[:3, 3] + self.scale * (over @ went)
        target[:3, :3] = over @ turned @ over.T @ self.T_world_flange[:3, :3]
        return target


def turned(degrees: float) -> np.ndarray:
    """Rotation [3, 3] about the vertical, to the left."""
    cos = np.cos(np.radians(degrees))
    sin = np.sin(np.radians(degrees))
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])


def jumped(before: np.ndarray, now: np.ndarray, dt: float) -> bool:
    """Whether no person could have brought a wrist from one pose to the other within dt."""
    moved = float(np.linalg.norm(now[:3, 3] - before[:3, 3]))
    cosine = (np.trace(before[:3, :3].T @ now[:3, :3]) - 1) / 2
    angle = float(np.arccos(np.clip(cosine, -1.0, 1.0)))
    return moved > NOISE_M + FASTEST_M_S * dt or angle > NOISE_RAD + FASTEST_RAD_S * dt
