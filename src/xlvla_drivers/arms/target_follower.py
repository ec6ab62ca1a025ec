"""Between a driver's targets and a robot's commands, which come at another rate."""

from __future__ import annotations

import itertools
import math
from collections import deque

import numpy as np

from xlvla.follower import Follower
from xlvla.hand import JointLimits

LONGEST_INTERVAL_S = 0.1
"""Targets further apart are no stream: each is gone to for its own sake, and stopped at."""

SLACK = 1.25
"""How late targets are played, in intervals between them: one that comes a little late still comes
in time.
"""

KEPT = 16
"""Targets that may come between two periods, and then some."""

MEAN_OF = 10
"""Intervals over which their mean is formed."""

CATCH_UP = 4.0
"""Targets are followed with so many times the acceleration of a joint that brakes: they may
themselves use all of that, and a joint with no more would overrun them where they stop.
"""

LATE = 2.0
"""After so many periods without a command a joint has slowed: it waits where it was last commanded.
"""


class TargetFollower:
    """Angles that follow targets evenly, sampled at another rate than the targets come.

    Targets are played a little late by the times at which they were sent, straight from one to the
    next, within limits of position, velocity and acceleration. Where they run out, as when their
    sender is killed in motion, the joints brake: they go beyond the last target rather than stop in
    one step.

    Args:
        position: where to begin, at rest [J] rad.
        limits: of position and velocity, whatever is asked.
        acceleration: with which a joint brakes where targets run out [rad/s^2].
        period_s: between commands.
    """

    def __init__(
        self, position: np.ndarray, limits: JointLimits, acceleration: float, period_s: float
    ):
        quickest = np.full(len(position), CATCH_UP * acceleration)
        self._follower = Follower(limits, quickest, period_s)
        self._acceleration = acceleration
        self._period_s = period_s
        # When each was sent, and the angles.
        self._targets: deque[tuple[float, np.ndarray]] = deque(maxlen=KEPT)
        self._interval_s = LONGEST_INTERVAL_S
        self._stepped_s = -math.inf
        self.hold(position)

    @property
    def position(self) -> np.ndarray:
        """The angles now [J] rad."""
        return self._follower.position

    @property
    def velocity(self) -> np.ndarray:
        """Theirs in the last period [J] rad/s."""
        return self._follower.velocity

    def hold(self, position: np.ndarray) -> None:
        """Is there, at rest [J] rad."""
        self._follower.place(position)
        self.brake()

    def brake(self) -> None:
        """Comes to rest within its acceleration, and stays there until the next target."""
        self._targets.clear()

    def follow(self, target: np.ndarray, sent_s: float) -> None:
        """Goes to a target [J] rad, given when it was sent [s]."""
        interval_s = sent_s - self._targets[-1][0] if self._targets else np.inf
        if not 0 < interval_s <= LONGEST_INTERVAL_S:
            self._targets.clear()
        elif len(self._targets) == 1:
            self._interval_s = interval_s
        else:
            self._interval_s += (interval_s - self._interval_s) / MEAN_OF
        self._targets.append((sent_s, np.array(target, dtype=float)))

    def step(self, now_s: float) -> None:
        """Moves on by one period, which ends now [s, the clock by which targets are sent].

        After a pause it begins with the speed that was left of the last period.
        """
        passed_s = now_s - self._stepped_s
        self._stepped_s = now_s
        if passed_s > LATE * self._period_s:
            self._follower.slow(self._period_s / passed_s)
        target, velocity = self._played(now_s - SLACK * self._interval_s)
        brakes = (target == self.position) & (velocity == 0)
        fall = self._acceleration * self._period_s
        slower = self.velocity - np.clip(self.velocity, -fall, fall)
        target = np.where(brakes, self.position + slower * self._period_s, target)
        velocity = np.where(brakes, slower, velocity)
        self._follower.follow(target, velocity, self._period_s)

    def _played(self, at_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Where to be [J] rad at a time of the sender's, and how fast that moves [J] rad/s."""
        at_rest = np.zeros_like(self.position)
        if not self._targets:
            return self.position, at_rest
        before_s, before = self._targets[0]
        velocity = at_rest
        if at_s < before_s:
            return before, at_rest
        for sent_s, target in itertools.islice(self._targets, 1, None):
            velocity = (target - before) / (sent_s - before_s)
            if sent_s > at_s:
                return before + velocity * (at_s - before_s), velocity
            before_s = sent_s
            before = target
        # They have run out: what was moving brakes where it is.
        return np.where(velocity == 0, before, self.position), at_rest
