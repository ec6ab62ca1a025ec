"""What previously predicted chunks contain for the time steps of the next one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xlvla.policy import Chunk, Observation
from xlvla.types import SECOND

FOLLOWED_RAD = 0.5
"""An arm commanded further than this from a chunk does not follow it: motion refused the chunk, or
the robot was stopped.
"""

MOVES_RAD = 0.05
"""A chunk moves an arm if it moves one of its joints by this much."""
STANDS = 0.1
"""An arm stands still that moves by less than this share of a chunk's movement."""

FADES_S = 1.0
"""Time in which motion leads a robot to a chunk that came late, along a quintic."""
FADED_MOST = 0.9
"""Largest share of that time taken as over: the distance that is left must not vanish."""


@dataclass(frozen=True)
class Overlap:
    """Earlier chunks on the frames of the next one, oldest first.

    Args:
        frames: [K, T, D] in normalised numbers; beyond a chunk's end its last frame repeats.
        ahead: where the newest will lead the robot [T, D], from where it is.
        known: number of first frames that each chunk predicts [K].
        age: number of frames by which each was decided before the next one [K].
        prefix_frames: number of first frames that the robot will have executed from the newest
            chunk before the next takes effect.
    """

    frames: np.ndarray
    ahead: np.ndarray
    known: np.ndarray
    age: np.ndarray
    prefix_frames: int


def overlap(observation: Observation, here: np.ndarray, frames: int) -> Overlap | None:
    """The observation's previous chunks on the next `frames` frames; None where the robot does not
    follow the newest of them.

    Args:
        here: the command in force [D], in normalised numbers.
    """
    steps = np.arange(frames)
    newest: Chunk | None = None
    shifted: list[np.ndarray] = []
    known: list[int] = []
    ages: list[float] = []
    for chunk in observation.previous:
        age = _age(chunk, observation)
        if chunk.decided is None or not 0 < age < len(chunk.decided) - 1:
            continue
        newest = chunk
        shifted.append(at_frames(chunk.decided, steps + age))
        known.append(min(frames, math.floor(len(chunk.decided) - age)))
        ages.append(age)
    if newest is None or newest.decided is None or not _followed(newest, observation):
        return None
    rate_hz = newest.rate_hz
    age = ages[-1]
    error = here - at_frames(newest.decided, np.array([age - 1]))
    since_s = age / rate_hz - observation.delay_s
    ahead = shifted[-1] + error * _fade(since_s, (steps + 1) / rate_hz)
    # Rounding must not take away a frame.
    executed = math.floor(observation.delay_s * rate_hz + 1e-6)
    return Overlap(
        frames=np.stack(shifted),
        ahead=ahead,
        known=np.array(known),
        age=np.array(ages),
        prefix_frames=min(executed, known[-1]),
    )


def _age(chunk: Chunk, observation: Observation) -> float:
    """Number of frames by which a chunk was decided before the observation."""
    age_s = (observation.stamp_ns - chunk.stamp_ns) / SECOND
    return age_s * chunk.rate_hz


def at_frames(decided: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """A chunk [T, D] interpolated at fractional frames [N]."""
    index = np.clip(frame, 0, len(decided) - 1)
    low = np.minimum(index.astype(int), len(decided) - 2)
    share = (index - low)[:, None]
    return (1 - share) * decided[low] + share * decided[low + 1]


def _fade(since_s: float, seconds: np.ndarray) -> np.ndarray:
    """Share [T, 1] that is left, after these seconds [T], of the present distance to a chunk that
    took effect `since_s` ago.
    """
    now = min(max(since_s / FADES_S, 0.0), FADED_MOST)
    later = np.minimum(now + seconds / FADES_S, 1.0)
    u = np.append(now, later)
    # Motion's quintic, from 1 to 0 with no velocity and no acceleration at its ends.
    left = 1 - u**3 * (10 - u * (15 - 6 * u))
    share = left[1:] / left[0]
    return share[:, None]


def _followed(chunk: Chunk, observation: Observation) -> bool:
    """Whether the arms are commanded near the chunk's positions, and have moved since it took
    effect if the chunk moves.
    """
    age = _age(chunk, observation)
    now = max(round(age) - 1, 0)
    in_effect = max(round(age - observation.delay_s * chunk.rate_hz), 0)
    since = min(now, in_effect)
    chunk_moved_rad = 0.0
    arm_moved_rad = 0.0
    for side, parts in chunk.positions.items():
        arm = parts["arm"]
        commanded = observation.executed[side]["arm"]
        if np.abs(commanded[-1] - arm[now]).max() > FOLLOWED_RAD:
            return False
        chunk_rad = np.abs(arm[now] - arm[now - since]).max()
        arm_rad = np.abs(commanded[-1] - commanded[-1 - since]).max()
        chunk_moved_rad = max(chunk_moved_rad, float(chunk_rad))
        arm_moved_rad = max(arm_moved_rad, float(arm_rad))
    if chunk_moved_rad < MOVES_RAD:
        return True
    return arm_moved_rad > STANDS * chunk_moved_rad
