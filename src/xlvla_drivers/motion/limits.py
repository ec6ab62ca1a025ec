"""The last stage before a device: limits of position, velocity, acceleration and jerk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlvla.errors import XlvlaError
from xlvla_drivers.motion.braking import Braking
from xlvla_drivers.motion.steps import State, Steps

HEADROOM = 0.95
"""Share of velocity and acceleration a target may have; the rest is for catching up with it."""

FULL = 0.998
"""Share of a speed limit that is used, so that nothing is above it by a rounding."""

NEAR_S = 0.1
"""A joint that catches up with its target within this time also follows the target's acceleration.
"""

CREEP = 0.05
"""Share of its speed limit at which a joint at rest goes to a position limit."""

SLOWEST = 0.01
"""Below this pace a target is not caught up with: the command stops."""


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
        rows = [self.lower, self.upper, self.velocity, self.acceleration, self.jerk]
        shapes = [np.shape(row) for row in rows]
        if len(set(shapes)) != 1 or np.ndim(self.lower) != 1:
            raise XlvlaError(f"limits must be vectors of one length, got shapes {shapes}")
        finite = np.isfinite(rows).all()
        ordered = (self.lower < self.upper).all()
        positive = all((row > 0).all() for row in (self.velocity, self.acceleration, self.jerk))
        if not (finite and ordered and positive):
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

    Args:
        bounds: the limits of N joints.
        position: where the commands begin [N] rad, at rest.

    Attributes:
        last: the last command.
    """

    def __init__(self, bounds: Bounds, position: np.ndarray):
        self.bounds = bounds
        self._steps = Steps(bounds.acceleration, bounds.jerk)
        self._fastest = HEADROOM * bounds.velocity
        self._hardest = HEADROOM * bounds.acceleration
        # How long each joint [N] needs to catch up with its target, as of the last chase.
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
        lands = self._lands(goal, dt) & self._slow_enough(goal)
        wanted = self._toward(goal, lands, dt, pace)
        return self._stoppable(self._step(wanted), dt)

    def stop(self, dt: float) -> Step:
        """What the next command of a stop as quick as the limits allow would be."""
        if dt <= 0 or self.last.rests:
            return self.last
        return self._step(self.last.stop.at(dt))

    def take(self, step: Step) -> State:
        """Makes a step the last command, and returns its state."""
        self.last = step
        return step.state

    def follow(self, target: State, dt: float, pace: float = 1.0) -> State:
        """The next command, see `propose`."""
        return self.take(self.propose(target, dt, pace))

    def brake(self, dt: float) -> State:
        """The next command of a stop."""
        return self.take(self.stop(dt))

    def _step(self, state: State) -> Step:
        return Step(state, Braking(state, self.bounds.acceleration, self.bounds.jerk))

    def _within(self, target: State) -> State:
        """The target clipped to the limits; a joint whose position was clipped rests there."""
        limit = self.bounds
        position = np.minimum(np.maximum(target.position, limit.lower), limit.upper)
        inside = position == target.position
        velocity = np.minimum(np.maximum(target.velocity, -self._fastest), self._fastest)
        acceleration = np.minimum(np.maximum(target.acceleration, -self._hardest), self._hardest)
        if inside.all():
            return State(position, velocity, acceleration)
        velocity = np.where(inside, velocity, 0.0)
        acceleration = np.where(inside, acceleration, 0.0)
        return State(position, velocity, acceleration)

    def _lands(self, goal: State, dt: float) -> np.ndarray:
        """Which joints [N] can be at the goal dt from now: three equal pieces of constant jerk lead
        there.
        """
        now = self.state
        limit = self.bounds
        h = dt / 3
        # What jerk has to add to acceleration, velocity and position, in units of a piece's length.
        missing = np.empty((3, len(now.position)))
        missing[0] = (goal.acceleration - now.acceleration) / h
        missing[1] = (goal.velocity - now.velocity - now.acceleration * dt) / h**2
        gap = goal.position - now.position - now.velocity * dt - now.acceleration * dt**2 / 2
        missing[2] = gap / h**3
        jerks = _PIECES @ missing
        accelerations = now.acceleration + _CHANGES @ missing * h
        # Velocities at the ends of the first two pieces; at the end of the third it is the goal's.
        first = now.velocity + h * (now.acceleration + accelerations[0]) / 2
        second = first + h * (accelerations[0] + accelerations[1]) / 2
        slow = np.maximum(np.abs(first), np.abs(second)) <= limit.velocity
        smooth = (np.abs(jerks) <= limit.jerk) & (np.abs(accelerations) <= limit.acceleration)
        return slow & np.all(smooth, axis=0)

    def _toward(self, goal: State, lands: np.ndarray, dt: float, pace: float) -> State:
        """The goal for the joints [N] that can be there now, for the others a step of the chase
        after it.
        """
        if lands.all():
            self._late_s = np.zeros_like(self._late_s)
            return goal
        pull = np.where(self._late_s < NEAR_S, goal.acceleration, 0.0)
        chasing = self._chase(goal, dt, ~lands, pull, pace)
        # Only without pull are limits of speed exact: where they are not kept it is tried again.
        slow = self._slow_enough(chasing) & self._slow_on_the_way(chasing, dt)
        hasty = ~(lands | slow)
        if hasty.any():
            no_pull = np.zeros_like(goal.acceleration)
            exact = self._chase(goal, dt, hasty, no_pull, pace)
            chasing = exact.where(hasty, chasing)
        return goal.where(lands, chasing)

    def _slow_enough(self, state: State) -> np.ndarray:
        """Which joints [N] keep their speed limit when the acceleration they have ends as soon as
        it can.
        """
        limit = self.bounds
        signed_square = state.acceleration * np.abs(state.acceleration)
        peak = state.velocity + signed_square / (2 * limit.jerk)
        return np.abs(peak) <= FULL * limit.velocity

    def _slow_on_the_way(self, state: State, dt: float) -> np.ndarray:
        """Which joints [N] keep their speed limit on the mean of a step of this length: a long one
        may end slower than it was on its way.
        """
        way = np.abs(state.position - self.state.position)
        return way <= FULL * self.bounds.velocity * dt

    def _chase(
        self, goal: State, dt: float, joints: np.ndarray, pull: np.ndarray, pace: float
    ) -> State:
        """A step to the goal in the shortest time, as seen from a frame that moves with it, for the
        joints of the mask `joints` [N].

        The frame's velocity is the goal's; it changes by `pull` [N], and only where that is 0
        limits of speed are exact.
        """
        limit = self.bounds
        # Where the frame is now, so that it is at the goal dt later.
        frame_position = goal.position - goal.velocity * dt + pull * dt**2 / 2
        frame = State(frame_position, goal.velocity - pull * dt, pull)
        # The limits as seen from the frame. Some speed is always left: for part of a long step the
        # frame may be faster than the limit.
        full = pace * FULL * limit.velocity
        room = pace * CREEP / 2 * limit.velocity
        slowest = np.minimum(-full - np.minimum(goal.velocity, frame.velocity), -room)
        fastest = np.maximum(full - np.maximum(goal.velocity, frame.velocity), room)
        step = self._steps.reach(
            self.state - frame,
            np.zeros_like(pull),
            (slowest, fastest),
            (-limit.acceleration - pull, limit.acceleration - pull),
            joints,
            dt,
        )
        if step is None:
            return self.last.stop.at(dt)
        moved, self._late_s = step
        return moved + State(goal.position, goal.velocity, pull)

    def _stoppable(self, wanted: Step, dt: float) -> Step:
        """The wanted step for joints that can still stop inside their limits after it; for the
        others a step on the way to rest at the limit.
        """
        now = self.state
        limit = self.bounds
        state = wanted.state
        # A joint that is outside its limits may stay there, but not go further.
        upper = np.maximum(limit.upper, now.position)
        lower = np.minimum(limit.lower, now.position)
        above = state.position + wanted.stop.high > upper
        below = state.position + wanted.stop.low < lower
        bad = above | below
        if not bad.any():
            return wanted
        edge = np.where(above, limit.upper, limit.lower)
        speed = np.maximum(np.abs(now.velocity), CREEP * limit.velocity)
        step = self._steps.reach(
            now,
            edge,
            (-speed, speed),
            (-limit.acceleration, limit.acceleration),
            bad,
            dt,
        )
        if step is None:
            safe = self.last.stop.at(dt)
        else:
            safe, _ = step
        position = np.clip(safe.position, lower, upper)
        clipped = State(position, safe.velocity, safe.acceleration)
        return self._step(clipped.where(bad, state))


_PIECES = np.linalg.inv([[1, 1, 1], [5 / 2, 3 / 2, 1 / 2], [19 / 6, 7 / 6, 1 / 6]])
"""Jerks of three equal pieces from what they add to acceleration, velocity and position, in units
of the piece's length.
"""

_CHANGES = np.cumsum(_PIECES, axis=0)
"""Changes of the acceleration at the ends of the pieces, in the same units."""
