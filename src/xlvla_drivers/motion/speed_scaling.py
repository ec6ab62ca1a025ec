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
"""Time of a chunk that passes at most until it stands still, with the way from a distance's
measurement to here.
"""


@dataclass(frozen=True)
class Beat:
    """The pace at a tick: `rate` times a chunk's own speed, its `change` per second, and the time
    of the chunk that passed.
    """

    rate: float = 1.0
    change: float = 0.0
    passed_s: float = 0.0


class SpeedScaling:
    """A speed scale between 0 and 1 that moves smoothly to its target.

    Attributes:
        wanted: where it was last told to go.
        beat: where it is.
    """

    def __init__(self) -> None:
        self._ruckig = ruckig.Ruckig(1)
        self._way = ruckig.Trajectory(1)
        self._input = ruckig.InputParameter(1)
        self._input.control_interface = ruckig.ControlInterface.Velocity
        self._input.max_acceleration, self._input.min_acceleration = [SLOW], [-QUICK]
        self._input.max_jerk = [CHANGE_RISE]
        self.wanted = 1.0
        self.beat = Beat()

    def step(self, wanted: float, dt: float) -> Beat:
        """The beat dt later, on the way to the wanted pace."""
        self.wanted, last, given = wanted, self.beat, self._input
        if (last.rate, last.change) == (wanted, 0.0):
            self.beat = Beat(wanted, 0.0, wanted * dt)
            return self.beat
        given.current_position = [0.0]
        given.current_velocity = [last.rate]
        given.current_acceleration = [last.change]
        given.target_velocity = [wanted]
        self._ruckig.calculate(given, self._way)
        (passed,), (rate,), (change,) = self._way.at_time(dt)
        self.beat = (
            Beat(rate, change, passed) if self._way.duration > dt else Beat(wanted, 0.0, passed)
        )
        return self.beat
