"""The mechanics of an emulated device: joints that follow their targets with a delay, at a limited
speed.
"""

from __future__ import annotations

import time

import numpy as np


class Plant:
    """J joints behind position servos, advanced by whoever looks at them.

    Args:
        start: positions at first [J] rad.
        lower, upper: mechanical stops [J] rad.
        speed: fastest motion [J] rad/s.
        lag_s: time constant with which a joint approaches its target.

    Attributes:
        stalled: [J] bool, joints that cannot move.
    """

    def __init__(
        self,
        start: np.ndarray,
        lower: np.ndarray,
        upper: np.ndarray,
        speed: np.ndarray,
        lag_s: float = 0.02,
    ):
        self.lower = lower
        self.upper = upper
        self.speed = np.asarray(speed, dtype=float)
        self.lag_s = lag_s
        self.position = np.clip(np.asarray(start, dtype=float), lower, upper)
        self.velocity = np.zeros_like(self.position)
        self.target = self.position.copy()
        self.stalled = np.zeros(len(self.position), dtype=bool)
        self._then_s = time.monotonic()

    def command(self, target: np.ndarray) -> None:
        """Where to go from now on [J] rad."""
        self.advance()
        self.target = np.clip(target, self.lower, self.upper)

    def place(self, position: np.ndarray) -> None:
        """Is there, at rest [J] rad."""
        self.advance()
        self.position = np.clip(np.asarray(position, dtype=float), self.lower, self.upper)
        self.velocity = np.zeros_like(self.position)
        self.target = self.position.copy()

    def halt(self) -> None:
        """Stays where it is."""
        self.advance()
        self.target = self.position.copy()

    def advance(self, now_s: float | None = None) -> None:
        """Moves on to now (monotonic clock)."""
        now_s = time.monotonic() if now_s is None else now_s
        dt = max(now_s - self._then_s, 0.0)
        self._then_s = now_s
        if dt == 0:
            return
        # What a first-order lag covers of its way in this time.
        share = -np.expm1(-dt / self.lag_s)
        wanted = (self.target - self.position) * share
        furthest = self.speed * dt
        step = np.maximum(np.minimum(wanted, furthest), -furthest)
        step[self.stalled] = 0.0
        self.position = self.position + step
        self.velocity = step / dt
