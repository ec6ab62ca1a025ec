"""An exoskeleton, or any leader arm with a ROS driver of its own (HOMIE and the like): its joint
states on a topic of each side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xlvla.device import JointCalibration
from xlvla.types import Side


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
    """What a rig may say about it. Its topics are `/exoskeleton/{side}/joint_states`; ROS remaps
    them.

    Args:
        names: the arm's joint by the exoskeleton's, where they differ; `{side}` stands for the
            side.
        calibration: by side and joint of the arm, from the exoskeleton's angle to the arm's.
        grip: what closes the hand; None: nothing does.
    """

    names: Mapping[str, str] = field(default_factory=dict[str, str])
    calibration: Mapping[Side, Mapping[str, JointCalibration]] = field(
        default_factory=dict[Side, Mapping[str, JointCalibration]]
    )
    grip: Grip | None = None
