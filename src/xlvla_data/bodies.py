"""Whose joints a data set's columns are, and what these joints can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xlvla import catalog
from xlvla.arm import Arm
from xlvla.hand import JointLimits
from xlvla.types import Part, Side, scoped

Joints = Mapping[Side, Mapping[Part, Sequence[str]]]
"""Rig-wide names by side and part."""


@dataclass(frozen=True)
class Range:
    """What a joint can do: from `lower` to `upper` [rad], at most at `velocity` [rad/s]."""

    lower: float
    upper: float
    velocity: float


def ranges(hands: Mapping[Side, str], joints: Joints) -> dict[str, Range]:
    """By rig-wide joint name, of every joint that a hand or arm of the catalogue has."""
    by_joint: dict[str, Range] = {}
    for side, name in hands.items():
        if name in catalog.hands():
            hand = catalog.hand(name)
            by_joint |= _named(side, "hand", hand.joint_names(side), hand.limits(side))
        arm = arm_of(side, joints.get(side, {}).get("arm", ()))
        if arm is not None:
            by_joint |= _named(side, "arm", arm.joints, arm.limits)
    return by_joint


def arm_of(side: Side, joints: Sequence[str]) -> Arm | None:
    """The arm of the catalogue that has these rig-wide joints."""
    for arm in catalog.arms().values():
        names = {scoped(side, "arm", joint) for joint in arm.joints}
        if names == set(joints):
            return arm.on(side)
    return None


def _named(side: Side, part: Part, joints: Sequence[str], limits: JointLimits) -> dict[str, Range]:
    values = zip(joints, limits.lower, limits.upper, limits.velocity, strict=True)
    named: dict[str, Range] = {}
    for joint, lower, upper, velocity in values:
        named[scoped(side, part, joint)] = Range(float(lower), float(upper), float(velocity))
    return named
