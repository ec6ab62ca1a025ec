"""Plays chunks as a stream of commands that a device can follow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.rig import MotionConfig
from xlvla_drivers.motion.chunk import Refused, Trajectory, in_order
from xlvla_drivers.motion.limits import Bounds, Limiter

FUTURE_S = 0.05
"""How far ahead of the clock a stamp may be: more is a broken clock, not jitter."""

LONGEST_STEP_S = 0.05
"""A command after a longer pause moves as if only this much time had passed."""


@dataclass(frozen=True)
class Fade:
    """What is added to a chunk so that it begins where the command is: `offset` [N] and `drift` [N] at `start_s`, gone after `blend_s`."""

    start_s: float
    blend_s: float
    offset: np.ndarray
    drift: np.ndarray

    def at(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Offset [N] and its rate [N]: a cubic that ends at rest at zero."""
        s = min(max((time_s - self.start_s) / self.blend_s, 0.0), 1.0)
        offset = (2 * s**3 - 3 * s**2 + 1) * self.offset + (s**3 - 2 * s**2 + s) * self.blend_s * self.drift
        rate = (6 * s**2 - 6 * s) / self.blend_s * self.offset + (3 * s**2 - 4 * s + 1) * self.drift
        return offset, rate


class Player:
    """The newest chunk of N joints, played on time and within limits.

    Without a chunk, or once it has run out, the command decelerates and stays: a hold keeps the last command.
    Before the first chunk a hold is the pose that was measured when the player was first asked.

    Args:
        joints: N names, the order of every vector here.
        lower, upper: position limits [N] rad; chunks are clamped to them and counted as 'clipped'.
        velocity: limits [N] rad/s, before `config.speed_scale`.
        acceleration: limits [N] rad/s^2.

    Attributes:
        counts: every intervention by name: accepted, late, clipped, limited, held, and 'refused: <reason>'.
    """

    def __init__(
        self,
        joints: Sequence[str],
        lower: np.ndarray,
        upper: np.ndarray,
        velocity: np.ndarray,
        acceleration: np.ndarray,
        config: MotionConfig,
    ):
        self.joints = tuple(joints)
        self.config = config
        self.bounds = Bounds(lower, upper, velocity * config.speed_scale, acceleration)
        self.counts: Counter[str] = Counter()
        self._limiter: Limiter | None = None
        self.release()

    def release(self) -> None:
        """Forgets the chunk and the last command: the next command starts from the pose measured then."""
        self._limiter = None
        self.hold()
        self._newest_stamp_s = -math.inf
        self._time_s = -math.inf

    def hold(self) -> None:
        """Drops the chunk; the command decelerates and stays."""
        self._trajectory: Trajectory | None = None
        self._fade: Fade | None = None

    def has_chunk(self, now_s: float) -> bool:
        """A chunk is there that has not run out."""
        return self._trajectory is not None and now_s < self._trajectory.end_s

    @property
    def stamp_s(self) -> float:
        """Stamp of the newest chunk taken; -inf before the first."""
        return self._newest_stamp_s

    def offer(self, points: np.ndarray, names: Sequence[str], stamp_s: float, rate_hz: float, now_s: float) -> None:
        """Takes a chunk [T, N] rad whose frame k is meant for stamp_s + (k + 1) / rate_hz; raises Refused with the reason."""
        try:
            self._take(in_order(points, names, self.joints), stamp_s, rate_hz, now_s)
        except Refused as refusal:
            self.counts[f"refused: {refusal.reason}"] += 1
            raise

    def _take(self, points: np.ndarray, stamp_s: float, rate_hz: float, now_s: float) -> None:
        self._check_times(len(points), stamp_s, rate_hz, now_s)
        clamped = np.clip(points, self.bounds.lower, self.bounds.upper)
        self.counts["clipped"] += int((clamped != points).any(axis=0).sum())
        self.counts["late"] += stamp_s + 1 / rate_hz < now_s
        self.counts["accepted"] += 1
        self._trajectory = Trajectory(clamped, stamp_s + 1 / rate_hz, rate_hz)
        self._newest_stamp_s = stamp_s
        self._fade = None  # made by the next command, which knows where the robot is then

    def _check_times(self, frames: int, stamp_s: float, rate_hz: float, now_s: float) -> None:
        if not (math.isfinite(stamp_s) and math.isfinite(rate_hz) and 0 < rate_hz <= 1000):
            raise Refused("times", f"stamp {stamp_s} s and rate {rate_hz} Hz must be finite, the rate above 0 and at most 1000")
        if stamp_s > now_s + FUTURE_S:
            raise Refused("future", f"its stamp is {stamp_s - now_s:.3f} s in the future")
        if now_s - stamp_s > self.config.stale_s:
            raise Refused("stale", f"what it was decided on is {now_s - stamp_s:.3f} s old, allowed are {self.config.stale_s} s")
        if stamp_s < self._newest_stamp_s:
            raise Refused("order", f"its stamp is {self._newest_stamp_s - stamp_s:.3f} s before that of the chunk being played")
        if stamp_s + frames / rate_hz <= now_s:
            raise Refused("over", "all of it lies in the past")

    def command(self, now_s: float, measured: np.ndarray) -> np.ndarray:
        """The command [N] rad for `now_s`; `measured` [N] is where the robot is, used when there was no command yet."""
        if self._limiter is None:
            self._limiter = Limiter(self.bounds, self._finite(measured))
            self._time_s = now_s
        if now_s + 1.0 < self._time_s:
            raise XlvlaError(f"the clock went back by {self._time_s - now_s:.3f} s: release the player before it plays again")
        dt = min(max(now_s - self._time_s, 0.0), LONGEST_STEP_S)
        self._time_s = max(now_s, self._time_s)
        if self._trajectory is None:
            self.counts["held"] += 1
            return self._limiter.brake(dt)
        return self._follow(self._limiter, self._trajectory, now_s, dt)

    def _follow(self, limiter: Limiter, trajectory: Trajectory, now_s: float, dt: float) -> np.ndarray:
        if now_s >= trajectory.end_s:
            self.counts["held"] += 1
        position, velocity = trajectory.at(now_s)
        if self._fade is None:
            # dt ago the command was at limiter.position, so that is where the faded chunk must have been as well
            was, was_moving = trajectory.at(now_s - dt)
            self._fade = Fade(now_s - dt, self.config.blend_s, limiter.position - was, limiter.velocity - was_moving)
        offset, rate = self._fade.at(now_s)
        target = position + offset
        command = limiter.step(target, velocity + rate, dt)
        self.counts["limited"] += bool((np.abs(command - target) > 1e-3).any())
        return command

    def _finite(self, measured: np.ndarray) -> np.ndarray:
        measured = np.asarray(measured, dtype=float)
        if measured.shape != self.bounds.lower.shape or not np.isfinite(measured).all():
            raise XlvlaError(f"measured pose must be {len(self.joints)} finite numbers, got {measured.tolist()}")
        return measured
