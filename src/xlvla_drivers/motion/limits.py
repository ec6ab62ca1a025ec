"""The last stage before a device: position, velocity, acceleration and jerk limits for whatever is asked."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from xlvla.errors import XlvlaError
from xlvla_drivers.motion.steps import State, Steps

HEADROOM = 0.95
"""Share of velocity and acceleration a target may have; the rest is for catching up with it."""

FULL = 0.998
"""Share of a speed limit that is used, so that nothing is above it by a rounding."""

NEAR_S = 0.1
"""A joint at most this long away from its target is steered by the target's acceleration as well."""

CREEP = 0.05
"""Share of its speed at which a joint at rest goes to a position limit."""


@dataclass(frozen=True)
class Bounds:
    """Limits of N joints, each [N]: position [rad], velocity [rad/s], acceleration [rad/s^2], jerk [rad/s^3]."""

    lower: np.ndarray
    upper: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    jerk: np.ndarray

    def __post_init__(self) -> None:
        rows = [getattr(self, entry.name) for entry in fields(self)]
        if len({np.shape(row) for row in rows}) != 1 or np.ndim(self.lower) != 1:
            raise XlvlaError(f"limits must be vectors of one length, got shapes {[np.shape(row) for row in rows]}")
        if not (np.isfinite(rows).all() and (self.lower < self.upper).all() and all((row > 0).all() for row in rows[2:])):
            raise XlvlaError("limits must be finite, with lower < upper and velocity, acceleration and jerk above 0")


def stopping_distance(velocity: np.ndarray, acceleration: np.ndarray, bounds: Bounds) -> np.ndarray:
    """How far [N] >= 0 a joint still moves in the positive direction when it stops as quickly as the limits allow.

    That is the stop from the peak velocity, where the acceleration is 0, and the way from here to that peak (back to it,
    for a joint that brakes already). A joint that brakes so hard that it must ease off moves less than its easing needs.
    """
    jerk, limit = bounds.jerk, bounds.acceleration
    to_peak_s = acceleration / jerk
    peak = np.maximum(velocity + acceleration * to_peak_s / 2, 0.0)
    braking_s = np.where(peak * jerk >= limit**2, peak / limit + limit / jerk, 2 * np.sqrt(peak / jerk))
    whole = peak * (braking_s / 2 + to_peak_s) - jerk * to_peak_s**3 / 6
    easing = (acceleration < 0) & (velocity < acceleration * to_peak_s / 2)
    eased = 2 * np.maximum(velocity, 0.0) ** 2 / np.maximum(-acceleration, 1e-12)
    return np.where(peak == 0, 0.0, np.where(easing, eased, np.maximum(whole, 0.0)))


class Limiter:
    """A command that follows a moving target as closely as the limits allow and never faster.

    A target that keeps the limits is followed exactly. One that does not is caught up with in the shortest time
    (ruckig). A joint always keeps room to stop before its position limits; one that starts outside them only ever
    moves inwards.

    Attributes:
        state: the last command.
    """

    def __init__(self, bounds: Bounds, position: np.ndarray):
        self.bounds = bounds
        self.state = State.rest(position)
        self._steps = Steps(bounds.acceleration, bounds.jerk)
        self._late_s = np.zeros_like(self.state.position)

    def follow(self, target: State, dt: float) -> State:
        """The next command, dt later, when the target will be at `target`."""
        if dt <= 0:
            return self.state
        goal = self._within(target)
        wanted = self._toward(goal, self._lands(goal, dt) & self._slow_enough(goal), dt)
        self.state = self._stoppable(wanted, dt)
        return self.state

    def brake(self, dt: float) -> State:
        """The next command of a stop as quick as the limits allow."""
        if dt > 0 and (self.state.velocity.any() or self.state.acceleration.any()):
            self.state = self._steps.stop(self.state, dt)
        return self.state

    def _within(self, target: State) -> State:
        limit = self.bounds
        position = np.clip(target.position, limit.lower, limit.upper)
        inside = position == target.position
        velocity, acceleration = (np.where(inside, row, 0.0) for row in (target.velocity, target.acceleration))
        fastest, hardest = HEADROOM * limit.velocity, HEADROOM * limit.acceleration
        return State(position, np.clip(velocity, -fastest, fastest), np.clip(acceleration, -hardest, hardest))

    def _lands(self, goal: State, dt: float) -> np.ndarray:
        """Which joints [N] can be at the goal dt from now: three equal pieces of constant jerk lead there."""
        now, limit, h = self.state, self.bounds, dt / 3
        rows = (
            (goal.acceleration - now.acceleration) / h,
            (goal.velocity - now.velocity - now.acceleration * dt) / h**2,
            (goal.position - now.position - now.velocity * dt - now.acceleration * dt**2 / 2) / h**3,
        )
        jerk = _PIECES @ np.stack(rows)
        between = now.acceleration + h * np.cumsum(jerk, axis=0)
        return np.all((np.abs(jerk) <= limit.jerk) & (np.abs(between) <= limit.acceleration), axis=0)

    def _toward(self, goal: State, lands: np.ndarray, dt: float) -> State:
        """The goal for the joints that can be there now, for the others a step of the chase after it."""
        if lands.all():
            self._late_s = np.zeros_like(self._late_s)
            return goal
        chasing = self._chase(goal, dt, ~lands, np.where(self._late_s < NEAR_S, goal.acceleration, 0.0))
        hasty = ~(lands | self._slow_enough(chasing))
        if hasty.any():
            chasing = self._chase(goal, dt, hasty, np.zeros_like(goal.acceleration)).where(hasty, chasing)
        return goal.where(lands, chasing)

    def _slow_enough(self, state: State) -> np.ndarray:
        """Which joints [N] keep their speed limit when the acceleration they have ends as soon as it can."""
        peak = state.velocity + state.acceleration * np.abs(state.acceleration) / (2 * self.bounds.jerk)
        return np.abs(peak) <= FULL * self.bounds.velocity

    def _chase(self, goal: State, dt: float, who: np.ndarray, pull: np.ndarray) -> State:
        """To the goal in the shortest time, as seen from a frame that moves with it, for the joints `who` [N].

        The frame's velocity is the goal's; it changes by `pull` [N], and only where that is 0 limits of speed are exact.
        """
        limit, full = self.bounds, FULL * self.bounds.velocity
        frame = State(goal.position - goal.velocity * dt + pull * dt**2 / 2, goal.velocity - pull * dt, pull)
        room = CREEP / 2 * limit.velocity  # the frame may be faster than the limit for part of a long step
        slowest = np.minimum(-full - np.minimum(goal.velocity, frame.velocity), -room)
        fastest = np.maximum(full - np.maximum(goal.velocity, frame.velocity), room)
        hardest = -limit.acceleration - pull, limit.acceleration - pull
        step = self._steps.reach(self.state - frame, np.zeros_like(pull), (slowest, fastest), hardest, who, dt)
        if step is None:
            return self._steps.stop(self.state, dt)
        moved, self._late_s = step
        return moved + State(goal.position, goal.velocity, pull)

    def _stoppable(self, wanted: State, dt: float) -> State:
        """The wanted state where the joint can still stop inside its limits; else a step on the way to rest at the limit."""
        now, limit = self.state, self.bounds
        upper, lower = np.maximum(limit.upper, now.position), np.minimum(limit.lower, now.position)
        above = wanted.position + stopping_distance(wanted.velocity, wanted.acceleration, limit) > upper
        below = wanted.position - stopping_distance(-wanted.velocity, -wanted.acceleration, limit) < lower
        bad = above | below
        if not bad.any():
            return wanted
        stop, speed = np.where(above, limit.upper, limit.lower), np.maximum(np.abs(now.velocity), CREEP * limit.velocity)
        step = self._steps.reach(now, stop, (-speed, speed), (-limit.acceleration, limit.acceleration), bad, dt)
        safe = self._steps.stop(now, dt) if step is None else step[0]
        return State(np.clip(safe.position, lower, upper), safe.velocity, safe.acceleration).where(bad, wanted)


_PIECES = np.linalg.inv([[1, 1, 1], [5 / 2, 3 / 2, 1 / 2], [19 / 6, 7 / 6, 1 / 6]])
"""Jerks of three equal pieces from what they add to acceleration, velocity and position, in units of the piece's length."""
