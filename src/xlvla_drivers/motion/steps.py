"""One step along time-optimal, jerk-limited trajectories of independent joints, through the ruckig
library.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import ruckig

_SOLVED = (ruckig.Result.Working, ruckig.Result.Finished)


@dataclass(frozen=True)
class State:
    """Position [N] rad, velocity [N] rad/s and acceleration [N] rad/s^2 at one time."""

    position: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray

    @classmethod
    def rest(cls, position: np.ndarray) -> State:
        """At a position [N] rad, with a copy of it."""
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
        """This state for the joints of the mask [N], the other for the rest."""
        return State(
            np.where(mask, self.position, other.position),
            np.where(mask, self.velocity, other.velocity),
            np.where(mask, self.acceleration, other.acceleration),
        )


class Steps:
    """Steps of N joints within `acceleration` [N] rad/s^2 and `jerk` [N] rad/s^3."""

    def __init__(self, acceleration: np.ndarray, jerk: np.ndarray):
        joints = len(jerk)
        self._ruckig = ruckig.Ruckig(joints)
        self._trajectory = ruckig.Trajectory(joints)
        # One input for all steps: a control loop makes none anew.
        self._input = _input(acceleration, jerk)

    def reach(
        self,
        start: State,
        goal: np.ndarray,
        velocity: tuple[np.ndarray, np.ndarray],
        acceleration: tuple[np.ndarray, np.ndarray],
        enabled: np.ndarray,
        dt: float,
    ) -> tuple[State, np.ndarray] | None:
        """A step on the time-optimal trajectory to rest.

        Args:
            start: where the joints are.
            goal: where they are to rest [N] rad.
            velocity, acceleration: lowest and highest [N] each, for this step.
            enabled: the joints [N] it is for.
            dt: length of the step [s].

        Returns:
            the state dt later, and how long [N] s the whole trajectory takes; None where there is
            no trajectory, or ruckig finds none.
        """
        problem = self._input
        problem.current_position = start.position.tolist()
        problem.current_velocity = start.velocity.tolist()
        problem.current_acceleration = start.acceleration.tolist()
        problem.target_position = goal.tolist()
        problem.enabled = enabled.tolist()
        problem.min_velocity = velocity[0].tolist()
        problem.max_velocity = velocity[1].tolist()
        problem.min_acceleration = acceleration[0].tolist()
        problem.max_acceleration = acceleration[1].tolist()
        try:
            result = self._ruckig.calculate(problem, self._trajectory)
        except (ruckig.RuckigError, ValueError):
            # Of some joints that are just about to reach their limit of speed; and of some that
            # would be on their way for hours, the error of which Python does not know.
            return None
        if result not in _SOLVED:
            return None
        durations = np.where(enabled, self._trajectory.independent_min_durations, 0.0)
        return self._after(dt), durations

    def _after(self, dt: float) -> State:
        position, velocity, acceleration = self._trajectory.at_time(dt)
        return State(np.array(position), np.array(velocity), np.array(acceleration))


def _input(acceleration: np.ndarray, jerk: np.ndarray) -> ruckig.InputParameter:
    """A problem with these limits; start, goal and the limits of a step are set for every step."""
    joints = len(jerk)
    problem = ruckig.InputParameter(joints)
    problem.synchronization = ruckig.Synchronization.No
    # A placeholder: ruckig wants a limit of velocity, and each step sets its own.
    problem.max_velocity = jerk.tolist()
    problem.max_jerk = jerk.tolist()
    problem.max_acceleration = acceleration.tolist()
    problem.min_acceleration = (-acceleration).tolist()
    problem.target_position = [0.0] * joints
    problem.target_velocity = [0.0] * joints
    problem.target_acceleration = [0.0] * joints
    return problem
