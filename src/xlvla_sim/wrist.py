"""Paths of a wrist: six numbers an expert can think in, and smooth motion between them.

A wrist is x, y, z [m] of the flange in the world, then yaw, tilt and roll [rad]. At zero the
fingers point along +x, the palm faces the other hand and the thumb is up, as for a handshake. Yaw
turns about up, inwards for positive values; tilt lowers the fingertips; roll turns about the
fingers, palm up for positive values. Both hands mean the same by the same angles, mirrored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from xlvla.types import Side
from xlvla_sim.task import WayPoint

INWARD: Mapping[Side, float] = {"left": -1.0, "right": 1.0}
"""The direction of y in which the other hand is."""


def pose(wrist: np.ndarray, side: Side) -> np.ndarray:
    """T_world_flange [4, 4]."""
    yaw, tilt, roll = wrist[3:]
    inward = INWARD[side]
    # Axes of the flange with all angles zero: fingers ahead, palm inwards, thumb up.
    still = np.array([[0, 0, 1], [inward, 0, 0], [0, inward, 0]], dtype=float)
    turned = _about(2, inward * yaw) @ _about(1, tilt) @ _about(0, inward * roll) @ still
    T_world_flange = np.eye(4)
    T_world_flange[:3, :3] = turned
    T_world_flange[:3, 3] = wrist[:3]
    return T_world_flange


def wrist(T_world_flange: np.ndarray, side: Side) -> np.ndarray:
    """The six numbers of a pose [4, 4]; the inverse of `pose` for tilts below a right angle."""
    inward = INWARD[side]
    turned = T_world_flange[:3, :3] @ pose(np.zeros(6), side)[:3, :3].T
    yaw = np.arctan2(turned[1, 0], turned[0, 0])
    tilt = -np.arcsin(np.clip(turned[2, 0], -1, 1))
    roll = np.arctan2(turned[2, 1], turned[2, 2])
    return np.array([*T_world_flange[:3, 3], inward * yaw, tilt, inward * roll])


def path(
    start: np.ndarray,
    goals: Sequence[np.ndarray | None],
    way_points: Sequence[WayPoint],
    rate_hz: float,
    *,
    share: float = 1.0,
) -> np.ndarray:
    """Rows [T, N] from `start` [N] through one goal [N] per way-point, frame 0 at the start; None
    stays where it is.

    Every motion is a minimum-jerk step over `share` of its way-point's time; motions that overlap
    add up, which rounds corners without stopping.
    """
    begins, end = _times(way_points)
    t = np.arange(int(np.ceil(end * rate_hz)) + 1) / rate_hz
    rows = np.tile(start, (len(t), 1))
    last = start
    for point, goal, begin in zip(way_points, goals, begins, strict=True):
        if goal is None:
            continue
        progress = minimum_jerk((t - begin) / (share * point.duration_s))
        rows += progress[:, None] * (goal - last)
        last = goal
    return rows


def minimum_jerk(s: np.ndarray) -> np.ndarray:
    """From 0 to 1 as s does, with velocity and acceleration zero at both ends."""
    s = np.clip(s, 0, 1)
    return s**3 * (10 - 15 * s + 6 * s**2)


def _times(way_points: Sequence[WayPoint]) -> tuple[list[float], float]:
    """Start of every motion and the end of the last one [s]."""
    begins: list[float] = []
    end = 0.0
    for point in way_points:
        begin = max(0.0, end - point.overlap_s)
        begins.append(begin)
        end = max(end, begin + point.duration_s)
    return begins, end


def _about(axis: int, angle: float) -> np.ndarray:
    """Rotation about a coordinate axis [3, 3]."""
    cos = np.cos(angle)
    sin = np.sin(angle)
    i, j = [(1, 2), (2, 0), (0, 1)][axis]
    matrix = np.eye(3)
    matrix[i, i] = cos
    matrix[j, j] = cos
    matrix[i, j] = -sin
    matrix[j, i] = sin
    return matrix
