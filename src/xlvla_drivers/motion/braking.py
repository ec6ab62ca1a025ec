"""The quickest stop within limits of acceleration and jerk, in closed form and for all joints at
once.
"""

from __future__ import annotations

import numpy as np

from xlvla_drivers.motion.steps import State

LEAST_BRAKING = 1e-12
"""Keeps a joint that needs no braking from dividing by zero [rad/s^2]."""


class Braking:
    """The quickest stop of N independent joints from a state.

    A joint goes through three phases. In the onset it changes its acceleration by its full jerk
    until it brakes as hard as it needs or may; it keeps that in the hold; and it returns to zero
    acceleration in the ease. The stop from any state on the way is the rest of the same stop: a
    stop that was checked once stays checked while it is played.

    Args:
        state: where it begins.
        acceleration, jerk: limits [N] rad/s^2 and rad/s^3.

    Attributes:
        start: positions [N] where it begins.
        low, high: the furthest [N] rad that the stop leads below and above where it begins, low <=
            0 <= high.
        duration_s: until all joints rest.
        wiggle: [N] rad/s^2: in a part of the stop that takes t seconds a joint that turns round
            goes at most wiggle * t^2 more than from one end of the part to the other; 0 for a joint
            that does not.
    """

    def __init__(self, state: State, acceleration: np.ndarray, jerk: np.ndarray):
        self.start = state.position
        self._acceleration = acceleration
        self._jerk = jerk
        # The direction in which a joint moves on before it rests. Speed and pull are its velocity
        # and acceleration in that direction, so that every joint brakes from above zero.
        peak = state.velocity + state.acceleration * np.abs(state.acceleration) / (2 * jerk)
        self._direction = np.copysign(1.0, peak)
        self._speed = self._direction * state.velocity
        self._pull = self._direction * state.acceleration
        to_lose = np.maximum(self._speed + self._pull**2 / (2 * jerk), 0.0)
        hardest = np.minimum(np.sqrt(jerk * to_lose), acceleration)
        self._onset_s = np.maximum(self._pull + hardest, 0.0) / jerk
        held = np.maximum(to_lose - hardest**2 / jerk, 0.0)
        self._hold_s = held / np.maximum(hardest, LEAST_BRAKING)
        self._ease_s = hardest / jerk
        self.low, self.high = self._reach()

    @property
    def duration_s(self) -> float:
        durations = self._onset_s + self._hold_s + self._ease_s
        return float(durations.max(initial=0.0))

    @property
    def wiggle(self) -> np.ndarray:
        return np.where(self._speed < 0, self._acceleration / 4, 0.0)

    def at(self, seconds: float) -> State:
        """The state this many seconds later; at rest after `duration_s`."""
        jerk = self._jerk
        speed = self._speed
        pull = self._pull
        # How long each phase has lasted by then.
        onset = np.minimum(seconds, self._onset_s)
        hold = np.minimum(np.maximum(seconds - self._onset_s, 0.0), self._hold_s)
        ease = np.minimum(np.maximum(seconds - self._onset_s - self._hold_s, 0.0), self._ease_s)
        braking = pull - jerk * onset
        after_onset = speed + (pull + braking) / 2 * onset
        after_hold = after_onset + braking * hold
        travel = speed * onset + pull * onset**2 / 2 - jerk * onset**3 / 6
        travel += (after_onset + after_hold) / 2 * hold
        travel += after_hold * ease + braking * ease**2 / 2 + jerk * ease**3 / 6
        # Exactly zero at the end, whatever the sums above round to.
        moving = seconds < self._onset_s + self._hold_s + self._ease_s
        velocity = np.where(moving, after_hold + braking * ease + jerk * ease**2 / 2, 0.0)
        acceleration = np.where(moving, braking + jerk * ease, 0.0)
        return State(
            self.start + self._direction * travel,
            self._direction * velocity,
            self._direction * acceleration,
        )

    def _reach(self) -> tuple[np.ndarray, np.ndarray]:
        """`low` and `high`."""
        jerk = self._jerk
        speed = self._speed
        pull = self._pull
        onset = self._onset_s
        hold = self._hold_s
        braking = pull - jerk * onset
        after_onset = speed + (pull + braking) / 2 * onset
        end = (
            onset * (speed + onset * (pull / 2 - jerk * onset / 6))
            + hold * (after_onset + braking * hold / 2)
            + jerk * self._ease_s**3 / 6
        )
        most = np.maximum(end, 0.0)
        least = np.zeros_like(end)
        # Such a joint goes the other way first, until its velocity has changed its sign.
        turns = speed < 0
        if turns.any():
            turned_s = (pull - np.sqrt(np.maximum(pull**2 + 2 * jerk * speed, 0.0))) / jerk
            dip = turned_s * (speed + turned_s * (pull / 2 - jerk * turned_s / 6))
            least = np.where(turns, np.minimum(dip, 0.0), 0.0)
        forwards = self._direction > 0
        low = np.where(forwards, least, -most)
        high = np.where(forwards, most, -least)
        return low, high


class AtRest:
    """The stop of joints [N] that rest, as a `Braking` that takes no time."""

    duration_s = 0.0

    def __init__(self, position: np.ndarray):
        nothing = np.zeros(len(position))
        self.start = position
        self.low = nothing
        self.high = nothing
        self.wiggle = nothing

    def at(self, seconds: float) -> State:
        return State.rest(self.start)
