"""A position that follows a moving goal within limits of position, velocity and acceleration, one
step at a time.
"""

from __future__ import annotations

import numpy as np

from xlvla.hand import JointLimits

REST_RAD_S = 1e-6
"""What moves no faster rests: a goal that stands still is met but for a rounding."""


class Follower:
    """J joints that move by steps of constant velocity; from the middle of one step to the middle
    of the next it changes by no more than the acceleration limit.

    A goal that keeps the limits is met at every step. Any other is caught up with no faster than
    can be braked from, so that it is not overrun. Room to brake in is always kept before the
    position limits.

    Args:
        limits: position [J] rad and velocity [J] rad/s.
        acceleration: limit [J] rad/s^2.
        period_s: the usual length of a step.

    Attributes:
        position: [J] rad.
        velocity: of the last step [J] rad/s.
    """

    def __init__(self, limits: JointLimits, acceleration: np.ndarray, period_s: float):
        self.limits = limits
        self.acceleration = np.asarray(acceleration, dtype=float)
        self._period_s = period_s
        self.place(np.zeros(len(limits.lower)))

    @property
    def at_rest(self) -> bool:
        return bool((np.abs(self.velocity) < REST_RAD_S).all())

    def place(self, position: np.ndarray) -> None:
        """Is there [J] rad, at rest."""
        self.position = np.array(position, dtype=float)
        self.halt()

    def halt(self) -> None:
        """Is at rest, where it is."""
        self.velocity = np.zeros(len(self.position))
        self._step_s = self._period_s

    def follow(self, goal: np.ndarray, velocity: np.ndarray, dt: float) -> None:
        """A step of `dt` towards where the goal [J] is at its end, which moves at `velocity`
        [J].
        """
        gap = goal - self.position - velocity * dt
        self._step(velocity + np.sign(gap) * self._closing(np.abs(gap), dt), dt)

    def brake(self, dt: float) -> None:
        """A step of `dt` towards rest."""
        self._step(np.zeros(len(self.position)), dt)

    def slow(self, share: float) -> None:
        """The last step took longer than it was made for: it was this share of its velocity."""
        self.velocity = self.velocity * share

    def _step(self, wanted: np.ndarray, dt: float) -> None:
        limits = self.limits
        change = self.acceleration * (self._step_s + dt) / 2
        velocity = np.clip(wanted, -limits.velocity, limits.velocity)
        velocity = np.clip(velocity, self.velocity - change, self.velocity + change)
        # A pose measured outside the limits has no room there: it only moves inwards.
        above = np.maximum(limits.upper - self.position, 0.0)
        below = np.maximum(self.position - limits.lower, 0.0)
        self.velocity = np.clip(velocity, -self._closing(below, dt), self._closing(above, dt))
        self.position = self.position + self.velocity * dt
        self._step_s = dt

    def _closing(self, distance: np.ndarray, dt: float) -> np.ndarray:
        """The highest velocity [J] for a step of `dt` after which the rest of a distance [J] >= 0
        is enough to brake in.

        Braking from the middle of that step on covers v^2 / (2 A) from there, whatever the lengths
        of the steps that follow.
        """
        near = self.acceleration * dt**2 / 2
        return np.where(
            distance <= near,
            distance / dt,
            np.sqrt(2 * self.acceleration * distance) - self.acceleration * dt / 2,
        )
