"""What previously predicted chunks contain for the time steps of the next one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xlvla.policy import Chunk, Observation
from xlvla.types import SECOND

FOLLOWED_RAD = 0.5
"""An arm commanded further than this from a chunk does not follow it: motion refused it, or the
robot was stopped.
"""

MOVES_RAD = 0.05
STANDS = 0.1
"""A robot stands still that moves by less than this share of what a chunk means, if that is more
than this.
"""

FADES_S = 1.0
"""How long motion takes to lead a robot to a chunk that came late, along a quintic."""


@dataclass(frozen=True)
class Overlap:
    """Earlier chunks on the frames of the next one, oldest first.

    Args:
        frames: [K, T, D] in the policy's own numbers; past a chunk's end its last frame repeats.
        ahead: where the newest will lead the robot [T, D], from where it is.
        known: of how many of the first frames each chunk speaks [K].
        age: how many frames before the next one each was decided [K].
        committed: how many of the first frames the robot will have executed from the newest chunk
            before the next takes effect.
    """

    frames: np.ndarray
    ahead: np.ndarray
    known: np.ndarray
    age: np.ndarray
    prefix_frames: int


def overlap(observation: Observation, here: np.ndarray, frames: int) -> Overlap | None:
    """What the observation's previous chunks say of the next `frames` frames; None where the robot
    follows none of them.

    Args:
        here: the command in force [D], in the policy's own numbers.
    """
    overlapping: list[tuple[Chunk, np.ndarray, float]] = []
    for chunk in observation.previous:
        age = _age(chunk, observation)
        if chunk.decided is not None and 0 < age < len(chunk.decided) - 1:
            overlapping.append((chunk, chunk.decided, age))
    if not overlapping or not _followed(overlapping[-1][0], observation):
        return None
    newest, decided, age = overlapping[-1]
    error = here - _read(decided, np.array([age - 1]))
    ahead = _read(decided, np.arange(frames) + age) + error * _fade(
        age / newest.rate_hz - observation.delay_s, np.arange(1, frames + 1) / newest.rate_hz
    )
    known = np.array(
        [min(frames, math.floor(len(decided) - age)) for _, decided, age in overlapping]
    )
    due = math.floor(observation.delay_s * newest.rate_hz + 1e-6)
    shifted = np.stack([_read(decided, np.arange(frames) + age) for _, decided, age in overlapping])
    return Overlap(
        shifted, ahead, known, np.array([age for *_, age in overlapping]), min(due, int(known[-1]))
    )


def _age(chunk: Chunk, observation: Observation) -> float:
    """How many frames before the observation a chunk was decided."""
    return (observation.stamp_ns - chunk.stamp_ns) / SECOND * chunk.rate_hz


def _read(decided: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """A chunk [T, D] at frames [N] between its own."""
    index = np.clip(frame, 0, len(decided) - 1)
    low = np.minimum(index.astype(int), len(decided) - 2)
    share = (index - low)[:, None]
    return (1 - share) * decided[low] + share * decided[low + 1]


def _fade(since_s: float, seconds: np.ndarray) -> np.ndarray:
    """What is left [T, 1], after so many more seconds, of the distance to a chunk that took effect
    so long ago.
    """
    begun = min(max(since_s / FADES_S, 0.0), 0.9)
    u = np.append(begun, np.minimum(begun + seconds / FADES_S, 1.0))
    left = 1 - u**3 * (10 - u * (15 - 6 * u))
    return (left[1:] / left[0])[:, None]


def _followed(chunk: Chunk, observation: Observation) -> bool:
    """Whether the arms are commanded about where the chunk has them, and move since it took effect
    if it does.
    """
    age = _age(chunk, observation)
    due = max(round(age) - 1, 0)
    since = min(due, max(round(age - observation.delay_s * chunk.rate_hz), 0))
    meant = moved = 0.0
    for side, parts in chunk.positions.items():
        arm = parts["arm"]
        commanded = observation.executed[side]["arm"]
        if np.abs(commanded[-1] - arm[due]).max() > FOLLOWED_RAD:
            return False
        meant = max(meant, float(np.abs(arm[due] - arm[due - since]).max()))
        moved = max(moved, float(np.abs(commanded[-1] - commanded[-1 - since]).max()))
    return meant < MOVES_RAD or moved > STANDS * meant
