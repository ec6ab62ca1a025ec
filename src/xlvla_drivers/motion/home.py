"""The trajectory to where an episode starts."""

from __future__ import annotations

import numpy as np

SLOW = 0.2
"""Share of the speed limits that is used."""

PEAK = 1.875
"""Highest speed of a minimum-jerk path over its mean speed."""

SHORTEST_S = 1.0


def way_home(
    here: np.ndarray, home: np.ndarray, velocity: np.ndarray, rate_hz: float
) -> np.ndarray:
    """Positions [T, N] rad of a straight minimum-jerk path from `here` to `home`; frame k is due at
    (k + 1) / rate_hz.

    Args:
        velocity: speed limits [N] rad/s; at most `SLOW` of any is used.
    """
    needed_s = PEAK * np.abs(home - here) / (SLOW * velocity)
    seconds = max(SHORTEST_S, float(needed_s.max()))
    frames = int(np.ceil(seconds * rate_hz))
    s = np.arange(1, frames + 1)[:, None] / frames
    share = s**3 * (10 - 15 * s + 6 * s**2)
    return here + share * (home - here)
