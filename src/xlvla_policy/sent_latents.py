"""The past in the latents it was decided in.

A hand's encoder gives back another latent than the one a command was decoded from: a hand with few
joints cannot say all of it, and a hand that was added later says it in its own way. So a policy
that reads its past through the encoder reads one that it never saw in training. What it sent
itself, it knows better: commands near its own chunks are told by the chunks' latents, what others
commanded by the encoder.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xlvla.policy import Chunk, Observation
from xlvla.types import SECOND, Side
from xlvla_policy.overlap import at_frames

NEAR_RAD = 0.1
"""How far (root mean square over joints) a hand's command may be from a chunk that it comes from:
while motion leads from one chunk to the next it is between them.
"""

LATE_S = 1.0
EARLY_S = 0.1
"""How much later, or earlier, than a chunk says motion may play it: it slows down near obstacles,
and filters.
"""

LATE_COSTS_RAD = 0.02
"""What a second of lateness counts: a hand that rests is where many frames of a chunk have it."""

FINER = 4
"""Points between two frames of a chunk."""

Encode = Callable[[np.ndarray], np.ndarray]


def sent(
    observation: Observation, side: Side, rate_hz: float, encoded: np.ndarray, encode: Encode
) -> np.ndarray:
    """Latents [T, L] of the commands that a hand executed last.

    Args:
        rate_hz: of the executed commands.
        encoded: what the hand's encoder makes of them [T, L].
        encode: that encoder, joints [N, J] rad to latents [N, L].
    """
    commands = observation.executed[side]["hand"]
    ages_s = np.arange(len(commands) - 1, -1, -1) / rate_hz
    times_s = -ages_s
    chunks = [chunk for chunk in observation.previous if _in_reach(chunk, observation, times_s[0])]
    if not chunks:
        return encoded
    points = [_points(chunk, observation, side) for chunk in chunks]
    point_times_s = np.concatenate([each[0] for each in points])
    positions = np.concatenate([each[1] for each in points])
    latents = np.concatenate([each[2] for each in points])
    distances = _distances(commands, positions)
    late_s = times_s[:, None] - point_times_s
    cost = distances + LATE_COSTS_RAD * np.abs(late_s)
    cost[(late_s > LATE_S) | (late_s < -EARLY_S)] = np.inf
    nearest = cost.argmin(1)
    rows = np.arange(len(commands))
    is_in_reach = np.isfinite(cost[rows, nearest])
    share = np.exp(-np.square(distances[rows, nearest] / NEAR_RAD)) * is_in_reach
    # What the encoder sees of the way from the chunk to the command is kept.
    difference = latents[nearest] - encode(positions[nearest])
    return encoded + share[:, None] * difference


def _in_reach(chunk: Chunk, observation: Observation, oldest_s: float) -> bool:
    """Whether a chunk may have been played during the commands observed."""
    ends_s = _since(chunk, observation) + len(next(iter(chunk.latents.values()))) / chunk.rate_hz
    return ends_s + LATE_S > oldest_s


def _points(
    chunk: Chunk, observation: Observation, side: Side
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times [N] s from the observation's on, positions [N, J] rad and latents [N, L] along a
    chunk.
    """
    positions = chunk.positions[side]["hand"]
    latents = chunk.latents[side]
    frame = np.linspace(0, len(positions) - 1, FINER * (len(positions) - 1) + 1)
    times_s = _since(chunk, observation) + (frame + 1) / chunk.rate_hz
    return times_s, at_frames(positions, frame), at_frames(latents, frame)


def _since(chunk: Chunk, observation: Observation) -> float:
    """When a chunk was decided, from the observation's time on [s]; negative."""
    return (chunk.stamp_ns - observation.stamp_ns) / SECOND


def _distances(commands: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Root mean square over joints [T, N] rad between commands [T, J] and positions [N, J]."""
    products = commands @ positions.T
    squares = np.square(commands).sum(1)[:, None] + np.square(positions).sum(1) - 2 * products
    return np.sqrt(np.maximum(squares, 0.0) / commands.shape[1])
