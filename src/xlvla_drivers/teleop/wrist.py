"""Damped differential inverse kinematics of an arm: from the pose of its flange to joint angles, a
step at a time.
"""

from __future__ import annotations

import math

import daqp
import numpy as np

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
        self._flange = kinematics.moving(arm.flange)
        self.lower = kinematics.lower
        self.upper = kinematics.upper
        self._home = home
        self._speed = SPEED * speed_scale * kinematics.velocity
        # The program has bounds and nothing else
        self._no_rows = np.zeros((0, len(home)))
        self._no_kinds = np.zeros(len(home), np.int32)
        self.q = home
        self.short = 0.0
        self.askew = 0.0

    def begin(self, q: np.ndarray) -> np.ndarray:
        """Begins at q [J] rad, clipped to the limits; returns the flange's pose [4, 4] there."""
        self.q = np.clip(q, self.lower, self.upper)
        self._flange.move(self.q)
        self.short = 0.0
        self.askew = 0.0
        T_base_flange = np.eye(4)
        T_base_flange[:3, :3] = self._flange.rotation
        T_base_flange[:3, 3] = self._flange.position
        return T_base_flange

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
        left = self._measure(T_base_flange)
        error_m = self.short + TURN_COST * self.askew
        damping = DAMPING + FAR_DAMPING * min(error_m, LEAD_M)
        if self.short > LEAD_M:
            left[:3] *= LEAD_M / self.short
        if self.askew > LEAD_RAD:
            left[3:] *= LEAD_RAD / self.askew
        q = self.q + self._change(left, damping, dt)
        if within is not None:
            lowest, highest = within
            q = np.minimum(np.maximum(q, lowest), highest)
        self.q = np.minimum(np.maximum(q, self.lower), self.upper)
        self._flange.move(self.q)
        self._measure(T_base_flange)
        return self.q

    def _measure(self, T_base_flange: np.ndarray) -> np.ndarray:
        """Measures how far the flange is from its target; returns what is left [6]: to move [m],
        then to turn [rad].
        """
        left = self._flange.left(T_base_flange)
        # Python's own numbers are quicker than arrays of three
        x, y, z, turn_x, turn_y, turn_z = left.tolist()
        self.short = math.hypot(x, y, z)
        self.askew = math.hypot(turn_x, turn_y, turn_z)
        return left

    def _change(self, left: np.ndarray, damping: float, dt: float) -> np.ndarray:
        """Changes [J] rad of the joints that bring the flange on by `left` [6]; zero where the
        solver finds none.
        """
        jacobian = self._flange.jacobian()
        jacobian[3:] *= TURN_COST
        left[3:] *= TURN_COST
        hessian = jacobian.T @ jacobian
        hessian.flat[:: len(self.q) + 1] += damping + POSTURE_COST**2
        away = POSTURE_COST**2 * POSTURE_GAIN * (self.q - self._home)
        gradient = away - left @ jacobian
        most = self._speed * dt
        lowest = np.maximum(-most, LIMIT_GAIN * (self.lower - self.q))
        highest = np.minimum(most, LIMIT_GAIN * (self.upper - self.q))
        change, _, flag, _ = daqp.solve(
            hessian, gradient, self._no_rows, highest, lowest, self._no_kinds
        )
        if flag < 1:
            return np.zeros(len(self.q))
        # Solvers keep limits within a tolerance; commands have none
        return np.minimum(np.maximum(change, lowest), highest)

    @property
    def reached(self) -> bool:
        """The flange is at its target."""
        return self.short < LOST_M and self.askew < LOST_RAD
