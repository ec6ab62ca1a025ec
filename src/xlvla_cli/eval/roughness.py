"""How rough commands are where one chunk follows another, and in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlvla_drivers.motion.chunk import Trajectory
from xlvla_drivers.motion.player import Player

AFTER_S = 0.1
"""What belongs to a boundary: this long after a chunk began to be played."""


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
        inside: everywhere else. Chunks are not equally rough all along, so this alone does not tell
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
    """Of the commands that a player makes of chunks that come in time's order."""
    times = _times(player, chunks, end_s)
    commands: list[np.ndarray] = []
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
        commands.append(player.command(now, chunks[0].points[0]))
    return _roughness(np.array(commands), times, chunks, player)


def naive(player: Player, chunks: Sequence[Arrival], end_s: float) -> Roughness:
    """Of the same curves when the newest is simply followed from the moment it comes."""
    times = _times(player, chunks, end_s)
    curves = [Trajectory(chunk.points, chunk.rate_hz) for chunk in chunks]
    starts = [chunk.stamp_s + 1 / chunk.rate_hz for chunk in chunks]
    commands: list[np.ndarray] = []
    for now in times:
        newest = max(number for number, chunk in enumerate(chunks) if chunk.came_s <= now)
        commands.append(curves[newest].at(now - starts[newest]).position)
    return _roughness(np.array(commands), times, chunks, player)


def _times(player: Player, chunks: Sequence[Arrival], end_s: float) -> np.ndarray:
    """The times [s] of commands, from the first chunk on."""
    rate_hz = player.config.rate_hz
    begin_s = chunks[0].came_s
    ticks = np.arange(round((end_s - begin_s) * rate_hz))
    return begin_s + ticks / rate_hz


def _roughness(
    commands: np.ndarray, times: np.ndarray, chunks: Sequence[Arrival], player: Player
) -> Roughness:
    jerk = _jerk(commands, player)
    when = times[3:]
    # The first chunk starts a robot from rest: that is no boundary.
    following = chunks[1:]
    settled_s = following[0].came_s - AFTER_S
    since = [np.where(when >= chunk.came_s, when - chunk.came_s, np.inf) for chunk in following]
    boundary = np.min(since, axis=0) <= AFTER_S
    inside = ~boundary & (when > settled_s)
    own = np.concatenate([_own_jerk(chunk, player) for chunk in following])
    return Roughness(at_boundaries=_rms(jerk[boundary]), inside=_rms(jerk[inside]), own=_rms(own))


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


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
