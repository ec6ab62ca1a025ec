"""One step along time-optimal, jerk-limited trajectories of independent joints, through the ruckig
library.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import ruckig

_SOUND = (ruckig.Result.Working, ruckig.Result.Finished)


@dataclass(frozen=True)
class State:
    """Position [N] rad, velocity [N] rad/s and acceleration [N] rad/s^2 at one time."""

    position: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray

    @classmethod
    def rest(cls, position: np.ndarray) -> State:
        position = np.array(position, dtype=float)
        return cls(position, np.zeros_like(position), np.zeros_like(position))

    def __add__(self, other: State) -> State:
        return State(
            self.position + other.position,
            self.velocity + other.velocity,
            self.acceleration + other.acceleration,
        )

    def __sub__(self, other: State) -> State:
        return State(
            self.position - other.position,
            self.velocity - other.velocity,
            self.acceleration - other.acceleration,
        )

    def where(self, mask: np.ndarray, other: State) -> State:
        """This one for the joints of the mask [N], the other for the rest."""
        return State(
            np.where(mask, self.position, other.position),
            np.where(mask, self.velocity, other.velocity),
            np.where(mask, self.acceleration, other.acceleration),
        )


class Steps:
    """Steps of N joints within `acceleration` [N] and `jerk` [N]."""

    def __init__(self, acceleration: np.ndarray, jerk: np.ndarray):
        self._joints = len(jerk)
        self._ruckig, self._trajectory = (
            ruckig.Ruckig(self._joints),
            ruckig.Trajectory(self._joints),
        )
        self._reach = self._input(acceleration, jerk)

    def reach(
        self,
        start: State,
        goal: np.ndarray,
        velocity: tuple[np.ndarray, np.ndarray],
        acceleration: tuple[np.ndarray, np.ndarray],
        who: np.ndarray,
        dt: float,
    ) -> tuple[State, np.ndarray] | None:
        """The state dt later on the way to rest at `goal` [N], and how long [N] s the whole way
        takes; None where there is none.

        Only for the joints `who` [N]; lowest and highest velocity and acceleration are given for
        this step.
        """
        given = self._reach
        _begin(given, start)
        given.target_position = goal.tolist()
        given.enabled = who.tolist()
        given.min_velocity = velocity[0].tolist()
        given.max_velocity = velocity[1].tolist()
        given.min_acceleration = acceleration[0].tolist()
        given.max_acceleration = acceleration[1].tolist()
        if self._ruckig.calculate(given, self._trajectory) not in _SOUND:
            return None
        return self._after(dt), np.where(who, self._trajectory.independent_min_durations, 0.0)

    def _after(self, dt: float) -> State:
        return State(*(np.array(row) for row in self._trajectory.at_time(dt)))

    def _input(self, acceleration: np.ndarray, jerk: np.ndarray) -> ruckig.InputParameter:
        given = ruckig.InputParameter(self._joints)
        nought = [0.0] * self._joints
        given.synchronization = ruckig.Synchronization.No
        given.max_velocity = given.max_jerk = jerk.tolist()
        given.max_acceleration = acceleration.tolist()
        given.min_acceleration = (-acceleration).tolist()
        given.target_position = given.target_velocity = given.target_acceleration = nought
        return given


def _begin(given: ruckig.InputParameter, start: State) -> None:
    given.current_position = start.position.tolist()
    given.current_velocity = start.velocity.tolist()
    given.current_acceleration = start.acceleration.tolist()
