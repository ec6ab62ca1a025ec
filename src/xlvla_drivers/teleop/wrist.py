"""From where a flange should be to joint angles of its arm, a step at a time: damped differential
inverse kinematics.
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
"""Metres that a radian off counts as, where position and direction cannot both be had."""

POSTURE_COST = 0.02
POSTURE_GAIN = 0.15
"""Of a radian away from home: what an elbow that is free to choose is led by, too little for the
flange to notice.
"""

DAMPING = 2e-4
FAR_DAMPING = 0.3
"""Of joint speed, and more of it for every metre that the flange is from where it should be: where
an arm is stretched or folded the flange gives in before joints race, and an arm that cannot reach
comes to rest.
"""

LEAD_M = 0.05
LEAD_RAD = 0.3
"""A step looks no further: beyond, the way there bends."""

LIMIT_GAIN = 0.5
"""Share of the way to a joint's limit that a step may go: limits are approached, never hit."""

LOST_M = 0.02
LOST_RAD = 0.2
"""A flange further from where it should be than this is out of reach or being waited for."""


class WristIk:
    """Follows poses of a flange in the arm's base frame, inside the joint limits and never faster
    than `SPEED` of their speeds.

    Args:
        home: the posture [J] rad that redundancy is spent on.
        speed_scale: share of the speed limits that the rig allows.

    Attributes:
        q: [J] rad, where the last step ended.
        short: how far [m] the flange was from its target then, `askew` by what angle [rad].
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
        self.short = self.askew = 0.0

    def begin(self, q: np.ndarray) -> np.ndarray:
        """Begins at q [J] rad; the flange's pose [4, 4] there. A pose measured just outside the
        limits counts as at them.
        """
        self.q = np.clip(q, self.lower, self.upper)
        self._configuration.update(self._full(self.q))
        self.short = self.askew = 0.0
        return self._here.homogeneous.copy()

    def step(
        self,
        T_base_flange: np.ndarray,
        dt: float,
        within: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> np.ndarray:
        """The angles [J] rad to be at dt later, nearer to the target or there; never outside
        `within` [J] rad.
        """
        ahead, turn = self._gap(T_base_flange)
        damping = DAMPING + FAR_DAMPING * min(self.short + TURN_COST * self.askew, LEAD_M)
        here = self._here
        shorter, straighter = (
            min(1.0, most / max(gap, 1e-9))
            for most, gap in ((LEAD_M, self.short), (LEAD_RAD, self.askew))
        )
        self._task.set_target(
            pin.SE3(pin.exp3(straighter * turn) @ here.rotation, here.translation + shorter * ahead)
        )
        speed = np.clip(
            self._velocity(dt, damping)[self._order], -self._speed, self._speed
        )  # solvers keep limits to within a tolerance
        self.q = np.clip(self.q + speed * dt, *(within or (self.lower, self.upper))).clip(
            self.lower, self.upper
        )
        self._configuration.update(self._full(self.q))
        self._gap(T_base_flange)
        return self.q

    def _gap(self, T_base_flange: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What is left of the way [3] m and of the turn [3] rad; remembers how much that is."""
        here = self._here
        ahead = T_base_flange[:3, 3] - here.translation
        turn = pin.log3(T_base_flange[:3, :3] @ here.rotation.T)
        self.short = float(np.linalg.norm(ahead))
        self.askew = float(np.linalg.norm(turn))
        return ahead, turn

    def _velocity(self, dt: float, damping: float) -> np.ndarray:
        """Of the model's joints [rad/s]: none where the solver finds none."""
        tasks = [self._task, self._posture]
        try:
            return solve_ik(
                self._configuration,
                tasks,
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
        """The flange is where it should be."""
        return self.short < LOST_M and self.askew < LOST_RAD

    @property
    def _here(self) -> pin.SE3:
        return self._configuration.data.oMf[self._frame]

    def _full(self, q: np.ndarray) -> np.ndarray:
        """In the order of the model."""
        full = np.zeros(len(q))
        full[self._order] = q
        return full
