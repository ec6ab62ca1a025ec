"""What chunks decided before say of the instants of the next one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xlvla.policy import Chunk, Observation

SECOND = 1_000_000_000

FOLLOWED_RAD = 0.2
"""An arm commanded further than this from a chunk does not follow it: motion refused it, or the robot was stopped."""


@dataclass(frozen=True)
class Overlap:
    """Earlier chunks on the frames of the next one, oldest first.

    Args:
        frames: [K, T, D] in the policy's own numbers; past a chunk's end its last frame repeats.
        known: of how many of the first frames each chunk speaks [K].
        age: how many frames before the next one each was decided [K].
        committed: how many of the first frames the robot will have taken from the newest before the next takes effect.
    """

    frames: np.ndarray
    known: np.ndarray
    age: np.ndarray
    committed: int


def overlap(observation: Observation, frames: int) -> Overlap | None:
    """What the observation's previous chunks say of the next `frames` frames; None where the robot follows none of them."""
    told: list[tuple[Chunk, np.ndarray, float]] = []
    for chunk in observation.previous:
        age = _age(chunk, observation)
        if chunk.decided is not None and 0 < age < len(chunk.decided) - 1:
            told.append((chunk, chunk.decided, age))
    if not told or not _followed(told[-1][0], observation):
        return None
    shifted = np.stack([_shifted(decided, age, frames) for _, decided, age in told])
    known = np.array([min(frames, math.floor(len(decided) - age)) for _, decided, age in told])
    due = math.floor(observation.delay_s * told[-1][0].rate_hz + 1e-6)
    return Overlap(shifted, known, np.array([age for *_, age in told]), min(due, int(known[-1])))


def _age(chunk: Chunk, observation: Observation) -> float:
    """How many frames before the observation a chunk was decided."""
    return (observation.stamp_ns - chunk.stamp_ns) / SECOND * chunk.rate_hz


def _shifted(decided: np.ndarray, age: float, frames: int) -> np.ndarray:
    """The chunk [T, D] read `age` frames later."""
    index = np.minimum(np.arange(frames) + age, len(decided) - 1)
    low = np.minimum(index.astype(int), len(decided) - 2)
    share = (index - low)[:, None]
    return (1 - share) * decided[low] + share * decided[low + 1]


def _followed(chunk: Chunk, observation: Observation) -> bool:
    """Whether every arm is commanded about where the chunk has it when the observation is made."""
    due = max(round(_age(chunk, observation)) - 1, 0)
    return all(
        np.abs(observation.executed[side]["arm"][-1] - parts["arm"][due]).max() <= FOLLOWED_RAD for side, parts in chunk.positions.items()
    )
