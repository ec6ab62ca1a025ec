"""How rough commands are where one chunk follows another, and in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlvla_drivers.motion.chunk import Trajectory
from xlvla_drivers.motion.player import Player

AFTER_S = 0.1
"""What belongs to a boundary: so long after a chunk began to be played."""


@dataclass(frozen=True)
class Arrival:
    """A chunk [T, N] at `rate_hz` decided at `stamp_s`, that came at `came_s`."""

    came_s: float
    stamp_s: float
    rate_hz: float
    points: np.ndarray


@dataclass(frozen=True)
class Roughness:
    """Root mean square of the jerk, as a share of its limit.

    Args:
        at_boundaries: where one chunk follows another.
        inside: everywhere else. Chunks are not equally rough all along, so this alone does not say
            what switching adds.
        own: of the following chunks alone, at the instants of `at_boundaries`.
    """

    at_boundaries: float
    inside: float
    own: float

    @property
    def ratio(self) -> float:
        """What switching adds."""
        return self.at_boundaries / self.own


def blended(player: Player, chunks: Sequence[Arrival], end_s: float) -> Roughness:
    """Of what a player makes of chunks that come in time's order."""
    times = _times(player, chunks, end_s)
    out = []
    left = list(chunks)
    for now in times:
        while left and left[0].came_s <= now:
            chunk = left.pop(0)
            player.offer(
                chunk.points,
                player.joints,
                chunk.stamp_s,
                chunk.rate_hz,
                now,
                measured=chunk.points[0],
            )
        out.append(player.command(now, chunks[0].points[0]))
    return _roughness(np.array(out), times, chunks, player)


def naive(player: Player, chunks: Sequence[Arrival], end_s: float) -> Roughness:
    """Of the same curves when the newest is simply followed from the moment it comes."""
    times = _times(player, chunks, end_s)
    curves = [Trajectory(chunk.points, chunk.rate_hz) for chunk in chunks]
    newest = [max(k for k, chunk in enumerate(chunks) if chunk.came_s <= now) for now in times]
    starts = [chunk.stamp_s + 1 / chunk.rate_hz for chunk in chunks]
    out = [curves[k].at(now - starts[k]).position for k, now in zip(newest, times, strict=True)]
    return _roughness(np.array(out), times, chunks, player)


def _times(player: Player, chunks: Sequence[Arrival], end_s: float) -> np.ndarray:
    return (
        chunks[0].came_s
        + np.arange(round((end_s - chunks[0].came_s) * player.config.rate_hz))
        / player.config.rate_hz
    )


def _roughness(
    commands: np.ndarray, times: np.ndarray, chunks: Sequence[Arrival], player: Player
) -> Roughness:
    jerk = _jerk(commands, player)
    when, settled = (
        times[3:],
        chunks[1].came_s - AFTER_S,
    )  # the first chunk starts a robot from rest: that is no boundary
    after = np.min(
        [np.where(when >= chunk.came_s, when - chunk.came_s, np.inf) for chunk in chunks[1:]],
        axis=0,
    )
    boundary = after <= AFTER_S
    inside = ~boundary & (when > settled)
    own = np.concatenate([_own_jerk(chunk, player) for chunk in chunks[1:]])
    return Roughness(
        *(float(np.sqrt(np.mean(values**2))) for values in (jerk[boundary], jerk[inside], own))
    )


def _own_jerk(chunk: Arrival, player: Player) -> np.ndarray:
    """Jerk of a chunk's curve where it would be played first, as if it had been played before
    too.
    """
    ticks = np.arange(-3, round(AFTER_S * player.config.rate_hz) + 1) / player.config.rate_hz
    curve = Trajectory(chunk.points, chunk.rate_hz)
    begun_s = chunk.came_s - chunk.stamp_s - 1 / chunk.rate_hz
    return _jerk(np.array([curve.at(begun_s + tick).position for tick in ticks]), player)


def _jerk(commands: np.ndarray, player: Player) -> np.ndarray:
    return np.diff(commands, n=3, axis=0) * player.config.rate_hz**3 / player.bounds.jerk
