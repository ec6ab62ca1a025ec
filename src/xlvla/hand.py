"""What a dexterous hand is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xlvla import urdf
from xlvla.errors import XlvlaError, nearest
from xlvla.paths import share
from xlvla.types import NONE, Finger, Side

RAMP_S = 0.1
"""A finger reaches its full speed in this time; no data sheet of a hand gives an acceleration."""


@dataclass(frozen=True)
class JointLimits:
    """Joint limits in the order of the names they were asked for, each [J]; position [rad],
    velocity [rad/s], effort [Nm].
    """

    lower: np.ndarray
    upper: np.ndarray
    velocity: np.ndarray
    effort: np.ndarray


@dataclass(frozen=True)
class Hand:
    """Facts of one hand. `{side}` in a name stands for left or right, so that one entry serves both
    sides.

    Limits, axes and couplings come from the URDF. The URDF's root is the frame of the arm's flange:
    fingers along +z, palm facing +x, so that a right hand's thumb is towards +y and a left hand is
    the mirror y -> -y.

    Args:
        joints: the commanded joints; this is the order of every vector of this hand.
        tips: fingertip link by finger; a four-fingered hand has four.
        palm: link of the palm.
        driver: the driver that talks to the device.
        device_limits: position range [rad] of the device by joint where it is narrower than the
            URDF's; commands are held to the intersection.
        names: by side, what this side's URDF calls a joint or link of this entry; for makers whose
            two sides differ by more than the word left or right. What is not listed has the name
            that it has in the entry.
    """

    name: str
    title: str
    joints: tuple[str, ...]
    tips: Mapping[Finger, str]
    palm: str
    driver: str
    urdf: str = ""
    device_limits: Mapping[str, tuple[float, float]] = field(
        default_factory=dict[str, tuple[float, float]]
    )
    names: Mapping[Side, Mapping[str, str]] = field(default_factory=dict[Side, Mapping[str, str]])

    def urdf_path(self, side: Side) -> Path:
        return share("urdf") / (self.urdf or f"hands/{self.name}/{{side}}.urdf").format(side=side)

    def urdf_model(self, side: Side) -> urdf.Urdf:
        """The hand's URDF, parsed."""
        return urdf.load(self.urdf_path(side))

    def description(self, side: Side) -> urdf.Description:
        return self.urdf_model(side).description

    def joint_names(self, side: Side) -> tuple[str, ...]:
        return tuple(self.named(joint, side) for joint in self.joints)

    def tip_links(self, side: Side) -> dict[Finger, str]:
        return {finger: self.named(link, side) for finger, link in self.tips.items()}

    def palm_link(self, side: Side) -> str:
        return self.named(self.palm, side)

    def named(self, name: str, side: Side) -> str:
        """What a side's URDF calls a joint or link of this entry."""
        table = self.names.get(side, {})
        return table[name] if name in table else name.format(side=side)

    def limits(self, side: Side) -> JointLimits:
        """URDF limits in the order of `joints`."""
        return joint_limits(self.description(side), self.joint_names(side))

    def acceleration(self, side: Side) -> np.ndarray:
        """Limits [J] rad/s^2 in the order of `joints`."""
        return self.limits(side).velocity / RAMP_S

    def command_range(self, side: Side) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper [J] a command may have: URDF and device limits intersected."""
        limits = self.limits(side)
        lower = limits.lower.copy()
        upper = limits.upper.copy()
        for joint, (low, high) in self.device_limits.items():
            index = self.joints.index(joint)
            lower[index] = max(lower[index], low)
            upper[index] = min(upper[index], high)
        return lower, upper

    def faults(self) -> list[str]:
        """What disagrees between this entry and its URDFs, one line each."""
        return [fault for side in ("left", "right") for fault in self.faults_of(side)]

    def faults_of(self, side: Side) -> list[str]:
        description = self.description(side)
        where = f"hand {self.name} ({side})"
        free = {joint.name for joint in description.free_joints}
        named = set(self.joint_names(side))
        faults = [
            f"{where}: joint '{name}' is not a free joint of {self.urdf_path(side).name}"
            for name in sorted(named - free)
        ]
        faults += [
            f"{where}: free joint '{name}' of the URDF is missing from the entry"
            for name in sorted(free - named)
        ]
        links = [*self.tip_links(side).values(), self.palm_link(side)]
        faults += [
            f"{where}: link '{link}' is not in the URDF{nearest(link, description.links)}"
            for link in links
            if link not in description.links
        ]
        known = {*self.joints, *self.tips.values(), self.palm}
        faults += [
            f"{where}: its table of names has '{name}', which is no joint or link of the entry"
            f"{nearest(name, known)}"
            for name in self.names.get(side, {})
            if name not in known
        ]
        faults += [
            f"{where}: device limits name unknown joint '{joint}'"
            for joint in self.device_limits
            if joint not in self.joints
        ]
        return faults


NO_HAND = Hand(
    name=NONE,
    title="no hand",
    joints=(),
    tips={},
    palm="mount",
    driver="",
    urdf="none.urdf",
)
"""On an arm without a hand: a hand without joints, which has no driver."""


def joint_limits(description: urdf.Description, names: tuple[str, ...]) -> JointLimits:
    """Limits of the named joints; refuses a joint that has none."""
    joints = [description.joint(name) for name in names]
    for joint in joints:
        finite = math.isfinite(joint.lower) and math.isfinite(joint.upper)
        if not (finite and joint.lower < joint.upper and joint.velocity > 0):
            raise XlvlaError(
                f"joint '{joint.name}' of {description.name} needs finite limits with lower < "
                "upper and a velocity above 0"
            )
    return JointLimits(
        lower=np.array([joint.lower for joint in joints], dtype=float),
        upper=np.array([joint.upper for joint in joints], dtype=float),
        velocity=np.array([joint.velocity for joint in joints], dtype=float),
        effort=np.array([joint.effort for joint in joints], dtype=float),
    )
