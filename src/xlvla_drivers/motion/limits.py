"""The last stage before a device: position, velocity and acceleration limits for whatever is asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlvla.errors import XlvlaError


@dataclass(frozen=True)
class Bounds:
    """Limits of N joints, each [N]: position [rad], velocity [rad/s], acceleration [rad/s^2]."""

    lower: np.ndarray
    upper: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray

    def __post_init__(self) -> None:
        rows = [self.lower, self.upper, self.velocity, self.acceleration]
        if len({np.shape(row) for row in rows}) != 1 or np.ndim(self.lower) != 1:
            raise XlvlaError(f"limits must be vectors of one length, got shapes {[np.shape(row) for row in rows]}")
        if not (
            np.isfinite(rows).all() and (self.lower < self.upper).all() and (self.velocity > 0).all() and (self.acceleration > 0).all()
        ):
            raise XlvlaError("limits must be finite, with lower < upper and velocity and acceleration above 0")


def braking_velocity(distance: np.ndarray, acceleration: np.ndarray, dt: float) -> np.ndarray:
    """Fastest velocity [N] >= 0 kept for dt that can still stop within `distance` [N], whatever the length of later steps.

    Solves v dt + v^2 / 2a = distance.
    """
    reach = np.maximum(distance, 0.0)
    return acceleration * (np.sqrt(dt * dt + 2 * reach / acceleration) - dt)


class Limiter:
    """A command that follows a moving target as fast as the limits allow and never faster.

    A target within the limits is followed exactly. A start slightly outside the position limits stays where it is and
    only ever moves inwards.

    Attributes:
        position: the last command [N].
        velocity: its rate [N].
    """

    def __init__(self, bounds: Bounds, position: np.ndarray):
        self.bounds = bounds
        self.position = np.array(position, dtype=float)
        self.velocity = np.zeros_like(self.position)

    def step(self, target: np.ndarray, target_velocity: np.ndarray, dt: float) -> np.ndarray:
        """The next command [N], dt later, towards a target [N] that moves at `target_velocity` [N]."""
        if dt <= 0:
            return self.position.copy()
        reachable = np.clip(target, self.bounds.lower, self.bounds.upper)
        target_velocity = np.where(reachable == target, target_velocity, 0.0)  # a target at a stop does not move
        target = reachable
        error = target - target_velocity * dt - self.position  # how far behind the target the last command was
        approach = np.minimum(np.abs(error) / dt, braking_velocity(np.abs(error), self.bounds.acceleration, dt))
        return self._move(target_velocity + np.sign(error) * approach, dt, stop_at=target)

    def brake(self, dt: float) -> np.ndarray:
        """The next command [N] of a stop as quick as the limits allow."""
        return self.position.copy() if dt <= 0 else self._move(np.zeros_like(self.velocity), dt)

    def _move(self, wanted: np.ndarray, dt: float, stop_at: np.ndarray | None = None) -> np.ndarray:
        before = self.position
        self.velocity = self._allowed(wanted, dt)
        self.position = before + self.velocity * dt
        if stop_at is not None:  # rounding must not leave a command a hair beside a target it has reached
            close = np.abs(stop_at - self.position) < 1e-12
            self.position = np.where(close, stop_at, self.position)
        return self.position.copy()

    def _allowed(self, wanted: np.ndarray, dt: float) -> np.ndarray:
        """The velocity [N] nearest to `wanted` within speed and acceleration, slow enough to stop at the position limits."""
        limit, change = self.bounds, self.bounds.acceleration * dt
        highest = np.minimum(limit.velocity, braking_velocity(limit.upper - self.position, limit.acceleration, dt))
        lowest = -np.minimum(limit.velocity, braking_velocity(self.position - limit.lower, limit.acceleration, dt))
        velocity = np.clip(wanted, lowest, highest)
        return np.clip(velocity, self.velocity - change, self.velocity + change)
