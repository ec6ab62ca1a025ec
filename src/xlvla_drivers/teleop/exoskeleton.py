"""An exoskeleton, or any leader arm with a ROS driver of its own (HOMIE and the like): its joint
states on a topic of each side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xlvla.device import JointCalibration
from xlvla.types import Side

MAKES_UP_HAND = True
"""A grip closes a hand that is nobody's."""


@dataclass(frozen=True)
class Grip:
    """A joint of the exoskeleton that closes the hand, and its angles [rad] with the hand open and
    closed.
    """

    joint: str
    open: float = 0.0
    closed: float = 1.0


@dataclass(frozen=True)
class Options:
    """Options in a rig's file. Its topics are `/exoskeleton/{side}/joint_states`; ROS can remap
    them.

    Args:
        names: the arm's joints by the exoskeleton's, where they differ; `{side}` stands for the
            side.
        calibration: by side and joint of the arm, from the exoskeleton's angle to the arm's.
        grip: the joint that closes the hand; None: the hand is not driven.
    """

    names: Mapping[str, str] = field(default_factory=dict[str, str])
    calibration: Mapping[Side, Mapping[str, JointCalibration]] = field(
        default_factory=dict[Side, Mapping[str, JointCalibration]]
    )
    grip: Grip | None = None
