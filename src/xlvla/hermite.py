"""Positions between points that are not evenly spaced in time."""

from __future__ import annotations

import numpy as np


def sampled(
    times_s: np.ndarray, positions: np.ndarray, velocities: np.ndarray | None, at_s: np.ndarray
) -> np.ndarray:
    """Positions [T, N] rad at the times [T] s of a path through K points: cubic between two of
    them (Hermite's form) where their velocities are known, else straight.

    Before the first point and after the last the path stands still.

    Args:
        times_s: of the points [K], increasing.
        positions: [K, N] rad.
        velocities: [K, N] rad/s.
    """
    at_s = np.clip(at_s, times_s[0], times_s[-1])
    if len(times_s) == 1:
        return np.repeat(positions, len(at_s), axis=0)
    k = np.searchsorted(times_s, at_s, side="right") - 1
    k = np.minimum(k, len(times_s) - 2)
    interval_s = (times_s[k + 1] - times_s[k])[:, None]
    u = (at_s - times_s[k])[:, None] / interval_s
    change = positions[k + 1] - positions[k]
    if velocities is None:
        return positions[k] + u * change
    leaving = velocities[k] * interval_s
    arriving = velocities[k + 1] * interval_s
    square = 3 * change - 2 * leaving - arriving
    cube = leaving + arriving - 2 * change
    return positions[k] + u * (leaving + u * (square + u * cube))
