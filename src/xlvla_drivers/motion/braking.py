"""The quickest stop within limits of acceleration and jerk, in closed form and for all joints at
once.
"""

from __future__ import annotations

import numpy as np

from xlvla_drivers.motion.steps import State


class Braking:
    """The quickest stop of N independent joints from a state.

    A joint changes its acceleration by its full jerk until it brakes as hard as it needs or may,
    keeps that, and lets it go again. The stop from any state on the way is the rest of the same
    way: a stop that was checked once stays checked while it is played.

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
        peak = state.velocity + state.acceleration * np.abs(state.acceleration) / (2 * jerk)
        self.start = state.position
        self._way = np.copysign(1.0, peak)
        self._acceleration = acceleration
        self._jerk = jerk
        self._speed = self._way * state.velocity
        self._pull = self._way * state.acceleration
        to_lose = np.maximum(self._speed + self._pull**2 / (2 * jerk), 0.0)
        hardest = np.minimum(np.sqrt(jerk * to_lose), acceleration)
        self._onset_s = np.maximum(self._pull + hardest, 0.0) / jerk
        self._hold_s = np.maximum(to_lose - hardest**2 / jerk, 0.0) / np.maximum(hardest, 1e-12)
        self._ease_s = hardest / jerk
        self.low, self.high = self._reach()

    @property
    def duration_s(self) -> float:
        return float((self._onset_s + self._hold_s + self._ease_s).max(initial=0.0))

    @property
    def wiggle(self) -> np.ndarray:
        return np.where(self._speed < 0, self._acceleration / 4, 0.0)

    def at(self, seconds: float) -> State:
        """The state so much later; at rest after `duration_s`."""
        jerk = self._jerk
        speed = self._speed
        pull = self._pull
        onset = np.minimum(seconds, self._onset_s)
        hold = np.minimum(np.maximum(seconds - self._onset_s, 0.0), self._hold_s)
        ease = np.minimum(np.maximum(seconds - self._onset_s - self._hold_s, 0.0), self._ease_s)
        braking = pull - jerk * onset
        slower = speed + (pull + braking) / 2 * onset
        slow = slower + braking * hold
        way = speed * onset + pull * onset**2 / 2 - jerk * onset**3 / 6
        way += (slower + slow) / 2 * hold
        way += slow * ease + braking * ease**2 / 2 + jerk * ease**3 / 6
        moving = seconds < self._onset_s + self._hold_s + self._ease_s
        velocity = np.where(moving, slow + braking * ease + jerk * ease**2 / 2, 0.0)
        left = np.where(moving, braking + jerk * ease, 0.0)
        return State(self.start + self._way * way, self._way * velocity, self._way * left)

    def _reach(self) -> tuple[np.ndarray, np.ndarray]:
        jerk = self._jerk
        speed = self._speed
        pull = self._pull
        onset = self._onset_s
        hold = self._hold_s
        braking = pull - jerk * onset
        slower = speed + (pull + braking) / 2 * onset
        end = (
            onset * (speed + onset * (pull / 2 - jerk * onset / 6))
            + hold * (slower + braking * hold / 2)
            + jerk * self._ease_s**3 / 6
        )
        most = np.maximum(end, 0.0)
        least = np.zeros_like(end)
        turns = speed < 0  # it goes the other way first, until its speed has turned
        if turns.any():
            turned_s = (pull - np.sqrt(np.maximum(pull**2 + 2 * jerk * speed, 0.0))) / jerk
            dip = turned_s * (speed + turned_s * (pull / 2 - jerk * turned_s / 6))
            least = np.where(turns, np.minimum(dip, 0.0), 0.0)
        forwards = self._way > 0
        return np.where(forwards, least, -most), np.where(forwards, most, -least)


class AtRest:
    """The stop of joints [N] that rest, as a `Braking` that takes no time."""

    duration_s = 0.0

    def __init__(self, position: np.ndarray):
        self.start = position
        self.low = self.high = self.wiggle = np.zeros(len(position))

    def at(self, seconds: float) -> State:
        return State.rest(self.start)
