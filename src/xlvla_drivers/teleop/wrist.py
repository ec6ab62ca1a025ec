"""Damped differential inverse kinematics of an arm: from the pose of its flange to joint angles, a
step at a time.
"""

from __future__ import annotations

import numpy as np
import pinocchio as pin  # pyright: ignore
from pink import Configuration, solve_ik
from pink.exceptions import NoSolutionFound
from pink.limits import ConfigurationLimit, VelocityLimit
from pink.tasks import FrameTask, PostureTask

from xlvla.arm import Arm
from xlvla.kinematics import Kinematics

SPEED = 0.9
"""Share of the arm's speed limits that is used; motion needs the rest to catch up."""

TURN_COST = 0.25
"""Metres that a radian of error counts as, where position and rotation cannot both be reached."""

POSTURE_COST = 0.02
POSTURE_GAIN = 0.15
"""Of a radian away from home: it leads a redundant elbow, and is too little to move the flange."""

DAMPING = 2e-4
"""Of joint speed."""

FAR_DAMPING = 0.3
"""More damping for every metre that the flange is from its target: near singular poses the flange
deviates before joints race, and an arm that cannot reach comes to rest.
"""

LEAD_M = 0.05
LEAD_RAD = 0.3
"""The target of one step is no further than this: the linearisation holds no further."""

LIMIT_GAIN = 0.5
"""Share of the distance to a joint's limit that a step may go: limits are approached, never hit."""

LEAST_ERROR = 1e-9
"""A smaller error is taken as this one, so that nothing is divided by zero."""

LOST_M = 0.02
LOST_RAD = 0.2
"""A flange further from its target than this is out of reach, or the arm is still on its way."""


class WristIk:
    """Follows poses of a flange in the arm's base frame, inside the joint limits and never faster
    than `SPEED` of their speeds.

    Args:
        home: the posture [J] rad that a redundant arm prefers.
        speed_scale: share of the speed limits that the rig allows.

    Attributes:
        q: where the last step ended [J] rad.
        short: distance [m] of the flange from its target then.
        askew: angle [rad] of the flange from its target then.
    """

    def __init__(self, arm: Arm, home: np.ndarray, speed_scale: float = 1.0):
        kinematics = Kinematics(arm.urdf_model, arm.joints)
        model = kinematics.model
        self._order = np.array([model.joints[model.getJointId(name)].idx_q for name in arm.joints])
        self._flange = arm.flange
        self._frame = kinematics.frame(arm.flange)
        self.lower = kinematics.lower
        self.upper = kinematics.upper
        self._speed = SPEED * speed_scale * kinematics.velocity
        model.velocityLimit = self._full(self._speed)
        self._limits = [ConfigurationLimit(model, LIMIT_GAIN), VelocityLimit(model)]
        self._task = FrameTask(arm.flange, 1.0, TURN_COST)
        self._posture = PostureTask(POSTURE_COST, gain=POSTURE_GAIN)
        self._posture.set_target(self._full(home))
        self._configuration = Configuration(model, kinematics.data, self._full(home))
        self.q = home
        self.short = 0.0
        self.askew = 0.0

    def begin(self, q: np.ndarray) -> np.ndarray:
        """Begins at q [J] rad, clipped to the limits; returns the flange's pose [4, 4] there."""
        self.q = np.clip(q, self.lower, self.upper)
        self._configuration.update(self._full(self.q))
        self.short = 0.0
        self.askew = 0.0
        return self._here.homogeneous.copy()

    def step(
        self,
        T_base_flange: np.ndarray,
        dt: float,
        within: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        """The angles [J] rad of the arm dt later, at the target or nearer to it.

        Args:
            T_base_flange: the target [4, 4].
            dt: length of the step [s].
            within: lowest and highest angles [J] rad, besides the joint limits.
        """
        ahead, turn = self._measure(T_base_flange)
        error_m = self.short + TURN_COST * self.askew
        damping = DAMPING + FAR_DAMPING * min(error_m, LEAD_M)
        move_share = min(1.0, LEAD_M / max(self.short, LEAST_ERROR))
        turn_share = min(1.0, LEAD_RAD / max(self.askew, LEAST_ERROR))
        here = self._here
        rotation = pin.exp3(turn_share * turn) @ here.rotation
        position = here.translation + move_share * ahead
        self._task.set_target(pin.SE3(rotation, position))
        velocity = self._velocity(dt, damping)[self._order]
        # Solvers keep limits within a tolerance; commands have none.
        velocity = np.clip(velocity, -self._speed, self._speed)
        q = self.q + velocity * dt
        if within is not None:
            lowest, highest = within
            q = np.clip(q, lowest, highest)
        self.q = np.clip(q, self.lower, self.upper)
        self._configuration.update(self._full(self.q))
        self._measure(T_base_flange)
        return self.q

    def _measure(self, T_base_flange: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Measures how far the flange is from its target; returns what is left to move [3] m and to
        turn [3] rad.
        """
        here = self._here
        ahead = T_base_flange[:3, 3] - here.translation
        turn = pin.log3(T_base_flange[:3, :3] @ here.rotation.T)
        self.short = float(np.linalg.norm(ahead))
        self.askew = float(np.linalg.norm(turn))
        return ahead, turn

    def _velocity(self, dt: float, damping: float) -> np.ndarray:
        """Velocities [rad/s] of the model's joints; zero where the solver finds none."""
        try:
            return solve_ik(
                self._configuration,
                [self._task, self._posture],
                dt,
                "daqp",
                damping=damping,
                limits=self._limits,
                safety_break=False,
            )
        except NoSolutionFound:
            return np.zeros(len(self.q))

    @property
    def reached(self) -> bool:
        """The flange is at its target."""
        return self.short < LOST_M and self.askew < LOST_RAD

    @property
    def _here(self) -> pin.SE3:
        return self._configuration.data.oMf[self._frame]

    def _full(self, q: np.ndarray) -> np.ndarray:
        """Angles [J] rad in the order of the model."""
        full = np.zeros(len(q))
        full[self._order] = q
        return full
