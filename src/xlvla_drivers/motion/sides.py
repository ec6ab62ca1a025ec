"""The player of one side of a rig."""

from __future__ import annotations

import numpy as np

from xlvla.rig import Rig
from xlvla.types import PARTS, Side
from xlvla_drivers.motion.player import Player


def side_player(rig: Rig, side: Side) -> Player:
    """The player of one side's arm and hand, with the limits of their URDFs; a part that the side
    does not have has no joints.
    """
    arm = rig.arm(side).limits
    hand = rig.hand(side).limits(side)
    hand_lower, hand_upper = rig.hand(side).command_range(side)
    joints: list[str] = []
    for part in PARTS:
        joints.extend(rig.joint_names(side, part))
    return Player(
        joints=joints,
        lower=np.concatenate([arm.lower, hand_lower]),
        upper=np.concatenate([arm.upper, hand_upper]),
        velocity=np.concatenate([arm.velocity, hand.velocity]),
        acceleration=np.concatenate([rig.acceleration(side, part) for part in PARTS]),
        config=rig.motion,
        arm=len(arm.lower),
    )
