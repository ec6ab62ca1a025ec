"""What the motors of a G1's arm have to hold up: its own weight, and that of the hand it carries.

They act like springs (`arm.Impedance`), and would give way by some hundredths of a radian without.
"""

from __future__ import annotations

import numpy as np

from xlvla import catalog
from xlvla.kinematics import Kinematics
from xlvla.robot import arm_with_hand
from xlvla.types import NONE, Side, scoped


class Load:
    """One arm, at first without a hand; the torso is believed upright."""

    def __init__(self, side: Side):
        self._side: Side = side
        self._effort = catalog.arm("g1").on(side).limits.effort
        self._arm = _holding(side, NONE)
        self._hand = NONE
        self._with_hand = self._arm
        self._share = 1.0

    def take(self, hand: str) -> None:
        """The arm carries a hand of the catalogue from now on; the motors learn of its weight by
        and by (`rise`). XlvlaError for an unknown one.
        """
        if hand != self._hand:
            self._with_hand = _holding(self._side, hand)
            self._hand = hand
            self._share = 0.0

    def rise(self, share: float) -> None:
        """So much more of the hand's weight counts, up to all of it."""
        self._share = min(self._share + share, 1.0)

    def torques(self, q: np.ndarray) -> np.ndarray:
        """Torques [7] Nm that hold the arm up at angles [7] rad, within the motors' own."""
        bare = self._arm.gravity(q)
        carrying = self._with_hand.gravity(q)
        torques = bare + self._share * (carrying - bare)
        return np.clip(torques, -self._effort, self._effort)


def _holding(side: Side, hand: str) -> Kinematics:
    """The arm with a hand that is open."""
    arm = catalog.arm("g1")
    robot = arm_with_hand(arm, catalog.hand_of_side(hand), side)
    return Kinematics(robot, [scoped(side, "arm", joint) for joint in arm.joints])
