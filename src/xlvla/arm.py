"""What a robot arm is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xlvla import urdf
from xlvla.hand import JointLimits, joint_limits
from xlvla.paths import share
from xlvla.types import NONE, Side


@dataclass(frozen=True)
class Impedance:
    """How motors that are commanded like springs act: torque = stiffness * (commanded - position)
    - damping * velocity, within the effort of the URDF, which has to carry the weight, too.

    Args:
        stiffness, damping: by joint, in the arm's order [Nm/rad, Nm s/rad].
        armature: inertia of a rotor, felt at the joint [kg m^2].
    """

    stiffness: tuple[float, ...]
    damping: tuple[float, ...]
    armature: float


@dataclass(frozen=True)
class Arm:
    """Facts of one arm. Where its left and right differ, `{side}` in `urdf` stands for the side
    until `on` is asked.

    Args:
        joints: the commanded joints, base to flange; this is the order of every vector of this arm.
        flange: link the hand's root coincides with.
        driver: the driver that talks to the device.
        acceleration: limit of every joint [rad/s^2].
        home: where an episode starts on each side [rad by joint], where a rig does not say; a joint
            that is not named is at zero.
        impedance: of motors that give; None: a controller holds positions, and gives way by
            millimetres.
    """

    name: str
    title: str
    joints: tuple[str, ...]
    flange: str
    driver: str
    acceleration: float
    urdf: str = ""
    home: Mapping[Side, Mapping[str, float]] = field(
        default_factory=dict[Side, Mapping[str, float]]
    )
    impedance: Impedance | None = None

    def on(self, side: Side) -> Arm:
        """The arm as it is on that side."""
        return dataclasses.replace(self, urdf=self.urdf.format(side=side))

    @property
    def urdf_path(self) -> Path:
        return share("urdf") / (self.urdf or f"arms/{self.name}/{self.name}.urdf")

    @property
    def urdf_model(self) -> urdf.Urdf:
        """The arm's URDF, parsed."""
        return urdf.load(self.urdf_path)

    @property
    def description(self) -> urdf.Description:
        return self.urdf_model.description

    @property
    def limits(self) -> JointLimits:
        """URDF limits in the order of `joints`."""
        return joint_limits(self.description, self.joints)


NO_ARM = Arm(
    name=NONE,
    title="no arm",
    joints=(),
    flange="mount",
    driver="",
    acceleration=0.0,
    urdf="none.urdf",
)
"""Where a hand stands on a bench: an arm without joints, which has no driver."""
