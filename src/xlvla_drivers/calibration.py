"""Between the angles of a device's data sheet and those of the robot's description."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from xlvla.device import JointCalibration
from xlvla.errors import XlvlaError
from xlvla.hand import JointLimits
from xlvla.rig import Rig
from xlvla.types import Part, Side
from xlvla_drivers.device import DeviceState


class Calibration:
    """joint angle = gain * device angle + offset, for J joints; forces turn with the inverse, so
    that power stays the same.

    Args:
        joints: the J joints, the order of every vector here.
        by_joint: what a rig says; joints not named are as their data sheet says.
    """

    def __init__(self, joints: Sequence[str], by_joint: Mapping[str, JointCalibration]):
        chosen = [by_joint.get(joint, JointCalibration()) for joint in joints]
        self.gain = np.array([entry.sign * entry.scale for entry in chosen])
        self.offset = np.array([entry.offset for entry in chosen])

    def joint(self, device: np.ndarray) -> np.ndarray:
        """Joint angles [J] of device angles [J]."""
        return self.gain * device + self.offset

    def device(self, joint: np.ndarray) -> np.ndarray:
        """Device angles [J] of joint angles [J]."""
        return (joint - self.offset) / self.gain

    def state(self, reported: DeviceState) -> DeviceState:
        """What the device reported, in joint angles."""
        velocity = None if reported.velocity is None else self.gain * reported.velocity
        effort = None if reported.effort is None else reported.effort / self.gain
        return dataclasses.replace(
            reported, position=self.joint(reported.position), velocity=velocity, effort=effort
        )

    def reach(self, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The joint angles a device reaches whose own angles end at lower and upper [J]."""
        ends = self.joint(lower), self.joint(upper)
        return np.minimum(*ends), np.maximum(*ends)


def command_limits(rig: Rig, side: Side, part: Part, calibration: Calibration) -> JointLimits:
    """Limits of what may be sent to a part's device: those of the URDF, of the device, and of the
    device as it is calibrated.
    """
    limits = rig.arm(side).limits if part == "arm" else rig.hand(side).limits(side)
    lower, upper = rig.limits(side, part)
    least, most = calibration.reach(lower, upper)
    lower = np.maximum(lower, least)
    upper = np.minimum(upper, most)
    for name, low, high in zip(rig.joint_names(side, part), lower, upper, strict=True):
        if not low < high:
            raise XlvlaError(
                f"{name}: its calibration leaves no angle that both its URDF ({low:.3f} ..) and "
                f"its device (.. {high:.3f}) allow"
            )
    return dataclasses.replace(limits, lower=lower, upper=upper)
