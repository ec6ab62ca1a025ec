"""Speed scaling of chunks: slower near obstacles, stopped where too near, and always smooth."""

from __future__ import annotations

from dataclasses import dataclass

import ruckig

SLOW = 2.0
QUICK = 8.0
"""Largest change of the pace per second, upwards and downwards."""

CHANGE_RISE = 100.0
"""Largest change of that change [1/s^2]."""

REACTION_S = 0.25
"""Time of a chunk that passes at most from the measurement of a distance until the rig stands
still.
"""


@dataclass(frozen=True)
class Beat:
    """The pace at a tick: `rate` times a chunk's own speed, its `change` per second, and how much
    of the chunk's time passed.
    """

    rate: float = 1.0
    change: float = 0.0
    passed_s: float = 0.0


class SpeedScaling:
    """A speed scale between 0 and 1 that moves smoothly to its target.

    Attributes:
        wanted: its target.
        beat: its present value.
    """

    def __init__(self) -> None:
        self._ruckig = ruckig.Ruckig(1)
        self._trajectory = ruckig.Trajectory(1)
        # The pace is the velocity of one joint whose position is the chunk's time.
        self._input = ruckig.InputParameter(1)
        self._input.control_interface = ruckig.ControlInterface.Velocity
        self._input.max_acceleration = [SLOW]
        self._input.min_acceleration = [-QUICK]
        self._input.max_jerk = [CHANGE_RISE]
        self.wanted = 1.0
        self.beat = Beat()

    def step(self, wanted: float, dt: float) -> Beat:
        """The beat dt later, on the way to the wanted pace."""
        self.wanted = wanted
        self.beat = self._next(self.beat, wanted, dt)
        return self.beat

    def _next(self, last: Beat, wanted: float, dt: float) -> Beat:
        arrived = last.rate == wanted and last.change == 0.0
        if arrived:
            return Beat(wanted, 0.0, wanted * dt)
        problem = self._input
        problem.current_position = [0.0]
        problem.current_velocity = [last.rate]
        problem.current_acceleration = [last.change]
        problem.target_velocity = [wanted]
        self._ruckig.calculate(problem, self._trajectory)
        (passed_s,), (rate,), (change,) = self._trajectory.at_time(dt)
        if self._trajectory.duration > dt:
            return Beat(rate, change, passed_s)
        # Exactly the wanted pace, so that the next step finds it has arrived.
        return Beat(wanted, 0.0, passed_s)
