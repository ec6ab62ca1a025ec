"""What the motors of a G1's waist and arms have to hold up: torso and arms themselves, and the
hands they carry.

They act like springs (`arm.Impedance`), and would give way by some hundredths of a radian without.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from xlvla import catalog
from xlvla.arm import Arm
from xlvla.hand import Hand
from xlvla.humanoid import in_rig
from xlvla.kinematics import Kinematics
from xlvla.robot import humanoid_description
from xlvla.types import NONE, SIDES, Side, scoped
from xlvla.urdf import Urdf
from xlvla_drivers.arms.g1_frames import ARM, JOINTS, WAIST

_UPPER = slice(WAIST.start, ARM["right"].stop)


class Load:
    """Of a G1 whose pelvis is believed upright, at first without hands.

    Attributes:
        hands: of the catalogue, by side.
    """

    def __init__(self) -> None:
        body = catalog.humanoid("g1")
        arm = catalog.arm("g1").on("left")
        self._effort = np.array(
            [
                *(body.description.joint(joint).effort for joint in body.waist),
                *np.tile(arm.limits.effort, len(SIDES)),
            ]
        )
        self._bare = _holding({})
        self.hands: dict[Side, str] = dict.fromkeys(SIDES, NONE)
        # By side, what has to be held up with its hand alone, and how much of that hand counts.
        self._carrying: dict[Side, Kinematics] = {}
        self._share: dict[Side, float] = {}

    def take(self, side: Side, hand: str) -> None:
        """An arm carries a hand of the catalogue from now on; the motors learn of its weight by and
        by (`rise`). XlvlaError for an unknown one.
        """
        if hand != self.hands[side]:
            self._carrying[side] = _holding({side: hand})
            self.hands[side] = hand
            self._share[side] = 0.0

    def rise(self, share: float) -> None:
        """So much more of every hand's weight counts, up to all of it."""
        for side, before in self._share.items():
            self._share[side] = min(before + share, 1.0)

    def torques(self, q: np.ndarray) -> np.ndarray:
        """Torques [29] Nm that hold waist and arms up at angles [29] rad of all motors, within
        their own; none for the legs.
        """
        upper = q[_UPPER]
        bare = self._bare.gravity(upper)
        held = bare.copy()
        for side, carrying in self._carrying.items():
            held += self._share[side] * (carrying.gravity(upper) - bare)
        torques = np.zeros(JOINTS)
        torques[_UPPER] = np.clip(held, -self._effort, self._effort)
        return torques


def with_hands(hands: Mapping[Side, str]) -> Urdf:
    """The URDF of a G1 with these hands, which are open."""
    arm = catalog.arm("g1")
    arms: dict[Side, tuple[Arm, Hand]] = {}
    for side in SIDES:
        arms[side] = (arm, catalog.hand_of_side(hands.get(side, NONE)))
    return humanoid_description(catalog.humanoid("g1"), arms)


def _holding(hands: Mapping[Side, str]) -> Kinematics:
    """The body with these hands."""
    body = catalog.humanoid("g1")
    arm = catalog.arm("g1")
    joints = [
        *(in_rig(joint) for joint in body.waist),
        *(scoped(side, "arm", joint) for side in SIDES for joint in arm.joints),
    ]
    return Kinematics(with_hands(hands), joints)
