"""Whose joints a data set's columns are, and what these joints can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xlvla import catalog
from xlvla.arm import NO_ARM, Arm
from xlvla.hand import JointLimits
from xlvla.types import NONE, SIDES, Part, Side, scoped
from xlvla_data.lerobot import layout
from xlvla_data.lerobot.layout import Info

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


def inferred(info: Info) -> dict[str, Any]:
    """Hands and joints as our own block of `info.json` has them, by the names of the joints; {}
    where these are not those of a hand or an arm of the catalogue, or of both, on every side.
    """
    names: set[str] = set()
    for key in (layout.STATE, layout.ACTION):
        feature = info.vectors.get(key)
        known = set(feature.names or ()) if feature else set[str]()
        names = known if key == layout.STATE else names & known
    hands: dict[Side, str] = {}
    joints: dict[Side, dict[Part, list[str]]] = {}
    for side in SIDES:
        arm_names = _on(side, "arm", names)
        hand_names = _on(side, "hand", names)
        if not arm_names and not hand_names:
            continue
        arm = arm_of(side, sorted(arm_names)) if arm_names else NO_ARM
        hand = _hand_of(side, hand_names, info.robot_type) if hand_names else NONE
        if arm is None or hand is None:
            return {}
        hands[side] = hand
        fingers = catalog.hand_of_side(hand).joint_names(side)
        joints[side] = {
            "arm": [scoped(side, "arm", joint) for joint in arm.joints],
            "hand": [scoped(side, "hand", joint) for joint in fingers],
        }
    return {"hands": hands, "joints": joints} if hands else {}


def _on(side: Side, part: Part, names: set[str]) -> set[str]:
    """Rig-wide names of a side's part."""
    return {name for name in names if name.startswith(scoped(side, part, ""))}


def _hand_of(side: Side, names: set[str], robot_type: str) -> str | None:
    """The hand of the catalogue that has these rig-wide joints; of several the one that the data
    set is said to be of.
    """
    alike: list[str] = []
    for name, hand in catalog.hands().items():
        if {scoped(side, "hand", joint) for joint in hand.joint_names(side)} == names:
            alike.append(name)
    if len(alike) > 1:
        alike = [name for name in alike if name in robot_type.split("+")]
    return alike[0] if len(alike) == 1 else None


def _named(side: Side, part: Part, joints: Sequence[str], limits: JointLimits) -> dict[str, Range]:
    values = zip(joints, limits.lower, limits.upper, limits.velocity, strict=True)
    named: dict[str, Range] = {}
    for joint, lower, upper, velocity in values:
        named[scoped(side, part, joint)] = Range(float(lower), float(upper), float(velocity))
    return named
