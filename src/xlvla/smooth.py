"""Smoothing in time."""

from __future__ import annotations

import numpy as np

SIGMA_S = 0.1
"""A path of one hand decoded by another then has the source's own jerk within a fifth, and its
fingertips move by 0.6 mm.
"""


def smoothed(path: np.ndarray, rate_hz: float, sigma_s: float = SIGMA_S) -> np.ndarray:
    """A path [T, ...] averaged over time with a Gaussian of that width; both ends stay where they
    are.

    It looks ahead: for recorded paths and chunks, not for a stream.
    """
    reach = min(int(np.ceil(4 * sigma_s * rate_hz)), len(path) - 1)
    if reach < 1:
        return path
    offsets = np.arange(-reach, reach + 1) / (sigma_s * rate_hz)
    weights = np.exp(-0.5 * offsets**2)
    weights = weights / weights.sum()
    # Turned about its ends a path goes on with its own slope, so that no end is drawn inwards.
    before = 2 * path[:1] - path[reach:0:-1]
    after = 2 * path[-1:] - path[-2 : -reach - 2 : -1]
    longer = np.concatenate([before, path, after])
    rows = [weight * longer[k : k + len(path)] for k, weight in enumerate(weights)]
    return np.sum(rows, axis=0)
