"""How a robot follows its commands, and how smoothly it moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlvla.types import CHUNK_HZ

GRID_HZ = 100.0
LONGEST_LAG_S = 0.6
MOVES_RAD = 0.05
"""A joint that moves less tells nothing of lag."""

SEEN_RAD = 0.03
"""So much of a joint's movement changes a picture."""


@dataclass(frozen=True)
class Following:
    """How late a robot is where it is told [s], and how far it stays from there then [rad, root
    mean square of the worst joint].
    """

    seconds: float
    apart_rad: float


def lag(
    command_s: np.ndarray, command: np.ndarray, state_s: np.ndarray, state: np.ndarray
) -> Following | None:
    """How positions [N, J] follow commands [M, J], each with its times [s]; None where nothing
    moves, or they hardly overlap.
    """
    begin = max(command_s[0], state_s[0])
    end = min(command_s[-1], state_s[-1])
    shifts = int(LONGEST_LAG_S * GRID_HZ)
    count = int((end - begin) * GRID_HZ)
    moving = np.ptp(command, axis=0) > MOVES_RAD
    if count < 2 * shifts or not moving.any():
        return None
    grid = begin + np.arange(count) / GRID_HZ
    commanded = resampled(command_s, command[:, moving], grid)
    was = resampled(state_s, state[:, moving], grid)[shifts:]
    errors = [
        np.square(was - commanded[shifts - shift : count - shift]).mean(axis=0)
        for shift in range(shifts + 1)
    ]
    best = int(np.argmin([error.sum() for error in errors]))
    return Following(best / GRID_HZ, float(np.sqrt(errors[best].max())))


def roughness(times_s: np.ndarray, positions: np.ndarray) -> float:
    """The jerk [rad/s3] that the worst joint of positions [N, J] stays under for 99% of the time,
    at the paper's frames.
    """
    count = int((times_s[-1] - times_s[0]) * CHUNK_HZ)
    if count < 8:
        return 0.0
    frames = resampled(times_s, positions, times_s[0] + np.arange(count) / CHUNK_HZ)
    jerk = np.abs(np.diff(frames, 3, axis=0)) * CHUNK_HZ**3
    return float(np.percentile(jerk, 99, axis=0).max())


def moved(stamps: np.ndarray, positions: np.ndarray, begin_ns: int, end_ns: int) -> bool:
    """Whether a joint of positions [N, J] moved between two stamps so that it is seen."""
    within = positions[(stamps >= begin_ns) & (stamps <= end_ns)]
    return len(within) > 1 and bool((np.ptp(within, axis=0) > SEEN_RAD).any())


def resampled(times_s: np.ndarray, values: np.ndarray, grid_s: np.ndarray) -> np.ndarray:
    """Values [N, J] at other times [M], in straight lines: [M, J]."""
    order = np.argsort(times_s, kind="stable")
    return np.stack(
        [np.interp(grid_s, times_s[order], column[order]) for column in values.T], axis=1
    )
