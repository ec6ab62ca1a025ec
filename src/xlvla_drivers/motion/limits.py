"""The last stage before a device: position, velocity, acceleration and jerk limits for whatever is
asked.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from xlvla.errors import XlvlaError
from xlvla_drivers.motion.braking import Braking
from xlvla_drivers.motion.steps import State, Steps

HEADROOM = 0.95
"""Share of velocity and acceleration a target may have; the rest is for catching up with it."""

FULL = 0.998
"""Share of a speed limit that is used, so that nothing is above it by a rounding."""

NEAR_S = 0.1
"""A joint at most this long away from its target is steered by the target's acceleration as well.
"""

CREEP = 0.05
"""Share of its speed at which a joint at rest goes to a position limit."""

SLOWEST = 0.01
"""Below this pace nothing is caught up with."""


@dataclass(frozen=True)
class Bounds:
    """Limits of N joints, each [N]: position [rad], velocity [rad/s], acceleration [rad/s^2], jerk
    [rad/s^3].
    """

    lower: np.ndarray
    upper: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    jerk: np.ndarray

    def __post_init__(self) -> None:
        rows = [getattr(self, entry.name) for entry in fields(self)]
        if len({np.shape(row) for row in rows}) != 1 or np.ndim(self.lower) != 1:
            raise XlvlaError(
                "limits must be vectors of one length, got shapes "
                f"{[np.shape(row) for row in rows]}"
            )
        if not (
            np.isfinite(rows).all()
            and (self.lower < self.upper).all()
            and all((row > 0).all() for row in rows[2:])
        ):
            raise XlvlaError(
                "limits must be finite, with lower < upper and velocity, acceleration and jerk "
                "above 0"
            )


@dataclass(frozen=True)
class Step:
    """A command, and the stop that may follow it at any time."""

    state: State
    stop: Braking

    @property
    def rests(self) -> bool:
        return not (self.state.velocity.any() or self.state.acceleration.any())


class Limiter:
    """A command that follows a moving target as closely as the limits allow and never faster.

    A target that keeps the limits is followed exactly. One that does not is caught up with in the
    shortest time (ruckig). A joint always keeps room to stop before its position limits; one that
    starts outside them only ever moves inwards.

    Attributes:
        last: the last command.
    """

    def __init__(self, bounds: Bounds, position: np.ndarray):
        self.bounds = bounds
        self._steps = Steps(bounds.acceleration, bounds.jerk)
        self._fastest = HEADROOM * bounds.velocity
        self._hardest = HEADROOM * bounds.acceleration
        self._late_s = np.zeros(len(position))
        self.last = self._step(State.rest(position))

    @property
    def state(self) -> State:
        return self.last.state

    def propose(self, target: State, dt: float, pace: float = 1.0) -> Step:
        """What the next command would be, dt later, when the target will be at `target`.

        Args:
            pace: share of the speed limits with which a target is caught up with; below `SLOWEST`
                it is a step of a stop.
        """
        if dt <= 0:
            return self.last
        if pace < SLOWEST:
            return self.stop(dt)
        goal = self._within(target)
        wanted = self._toward(goal, self._lands(goal, dt) & self._slow_enough(goal), dt, pace)
        return self._stoppable(self._step(wanted), dt)

    def stop(self, dt: float) -> Step:
        """What the next command of a stop as quick as the limits allow would be."""
        if dt <= 0 or self.last.rests:
            return self.last
        return self._step(self.last.stop.at(dt))

    def take(self, step: Step) -> State:
        """Makes a step the last command."""
        self.last = step
        return step.state

    def follow(self, target: State, dt: float, pace: float = 1.0) -> State:
        return self.take(self.propose(target, dt, pace))

    def brake(self, dt: float) -> State:
        return self.take(self.stop(dt))

    def _step(self, state: State) -> Step:
        return Step(state, Braking(state, self.bounds.acceleration, self.bounds.jerk))

    def _within(self, target: State) -> State:
        limit = self.bounds
        position = np.minimum(np.maximum(target.position, limit.lower), limit.upper)
        inside = position == target.position
        velocity = np.minimum(np.maximum(target.velocity, -self._fastest), self._fastest)
        acceleration = np.minimum(np.maximum(target.acceleration, -self._hardest), self._hardest)
        if inside.all():
            return State(position, velocity, acceleration)
        return State(position, np.where(inside, velocity, 0.0), np.where(inside, acceleration, 0.0))

    def _lands(self, goal: State, dt: float) -> np.ndarray:
        """Which joints [N] can be at the goal dt from now: three equal pieces of constant jerk lead
        there.
        """
        now = self.state
        limit = self.bounds
        h = dt / 3
        rows = np.empty((3, len(now.position)))
        rows[0] = (goal.acceleration - now.acceleration) / h
        rows[1] = (goal.velocity - now.velocity - now.acceleration * dt) / h**2
        rows[2] = (
            goal.position - now.position - now.velocity * dt - now.acceleration * dt**2 / 2
        ) / h**3
        between = now.acceleration + _CHANGES @ rows * h
        first = now.velocity + h * (now.acceleration + between[0]) / 2
        second = first + h * (between[0] + between[1]) / 2
        slow = np.maximum(np.abs(first), np.abs(second)) <= limit.velocity
        return slow & np.all(
            (np.abs(_PIECES @ rows) <= limit.jerk) & (np.abs(between) <= limit.acceleration), axis=0
        )

    def _toward(self, goal: State, lands: np.ndarray, dt: float, pace: float) -> State:
        """The goal for the joints that can be there now, for the others a step of the chase after
        it.
        """
        if lands.all():
            self._late_s = np.zeros_like(self._late_s)
            return goal
        chasing = self._chase(
            goal, dt, ~lands, np.where(self._late_s < NEAR_S, goal.acceleration, 0.0), pace
        )
        hasty = ~(lands | self._slow_enough(chasing))
        if hasty.any():
            chasing = self._chase(goal, dt, hasty, np.zeros_like(goal.acceleration), pace).where(
                hasty, chasing
            )
        return goal.where(lands, chasing)

    def _slow_enough(self, state: State) -> np.ndarray:
        """Which joints [N] keep their speed limit when the acceleration they have ends as soon as
        it can.
        """
        peak = state.velocity + state.acceleration * np.abs(state.acceleration) / (
            2 * self.bounds.jerk
        )
        return np.abs(peak) <= FULL * self.bounds.velocity

    def _chase(
        self, goal: State, dt: float, who: np.ndarray, pull: np.ndarray, pace: float
    ) -> State:
        """To the goal in the shortest time, as seen from a frame that moves with it, for the joints
        `who` [N].

        The frame's velocity is the goal's; it changes by `pull` [N], and only where that is 0
        limits of speed are exact.
        """
        limit = self.bounds
        full = pace * FULL * self.bounds.velocity
        frame = State(
            goal.position - goal.velocity * dt + pull * dt**2 / 2, goal.velocity - pull * dt, pull
        )
        room = (
            pace * CREEP / 2 * limit.velocity
        )  # the frame may be faster than the limit for part of a long step
        slowest = np.minimum(-full - np.minimum(goal.velocity, frame.velocity), -room)
        fastest = np.maximum(full - np.maximum(goal.velocity, frame.velocity), room)
        hardest = -limit.acceleration - pull, limit.acceleration - pull
        step = self._steps.reach(
            self.state - frame, np.zeros_like(pull), (slowest, fastest), hardest, who, dt
        )
        if step is None:
            return self.last.stop.at(dt)
        moved, self._late_s = step
        return moved + State(goal.position, goal.velocity, pull)

    def _stoppable(self, wanted: Step, dt: float) -> Step:
        """The wanted step where the joint can still stop inside its limits; else a step on the way
        to rest at the limit.
        """
        now = self.state
        limit = self.bounds
        state = wanted.state
        upper = np.maximum(limit.upper, now.position)
        lower = np.minimum(limit.lower, now.position)
        above = state.position + wanted.stop.high > upper
        below = state.position + wanted.stop.low < lower
        bad = above | below
        if not bad.any():
            return wanted
        stop = np.where(above, limit.upper, limit.lower)
        speed = np.maximum(np.abs(now.velocity), CREEP * limit.velocity)
        step = self._steps.reach(
            now, stop, (-speed, speed), (-limit.acceleration, limit.acceleration), bad, dt
        )
        safe = self.last.stop.at(dt) if step is None else step[0]
        return self._step(
            State(np.clip(safe.position, lower, upper), safe.velocity, safe.acceleration).where(
                bad, state
            )
        )


_PIECES = np.linalg.inv([[1, 1, 1], [5 / 2, 3 / 2, 1 / 2], [19 / 6, 7 / 6, 1 / 6]])
"""Jerks of three equal pieces from what they add to acceleration, velocity and position, in units
of the piece's length.
"""

_CHANGES = np.cumsum(_PIECES, axis=0)
"""Changes of the acceleration at the ends of the pieces, in the same units."""
