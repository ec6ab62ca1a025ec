"""Leader arms of Dynamixel servos (GELLO and the like), one for each side.

The robot's joints follow theirs.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xlvla.device import JointCalibration
from xlvla.errors import XlvlaError
from xlvla.types import Side
from xlvla_drivers.arms import dynamixel
from xlvla_drivers.calibration import Calibration
from xlvla_drivers.teleop.closing import closed
from xlvla_drivers.teleop.operator import Mailbox, Sample, TrackedSide, lost

MAKES_UP_HAND = True
"""A gripper closes a hand that is nobody's."""


@dataclass(frozen=True)
class Options:
    """Options in a rig's file.

    Args:
        ports: serial port by side; a side that has none is not driven. Without any port, the
            emulators of all sides.
        calibration: by side and joint, from the servo's angle to the arm's: `xlvla calibrate
            device` finds it.
        servos: options of the driver `dynamixel`; its gripper closes the hand.
    """

    ports: Mapping[Side, str] = field(default_factory=dict[Side, str])
    calibration: Mapping[Side, Mapping[str, JointCalibration]] = field(
        default_factory=dict[Side, Mapping[str, JointCalibration]]
    )
    servos: dynamixel.Options = field(default_factory=lambda: dynamixel.Options(gripper_id=8))


class Driver:
    """Reads every arm in a thread of its own, as fast as its servos answer."""

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Any):
        # The registry imports this module's folder.
        from xlvla_drivers import registry

        if address:
            raise XlvlaError(
                "teleop.address: leader arms have a port each: say `options: {ports: {left: "
                "/dev/..., right: /dev/...}}`"
            )
        ports = options.ports
        if not ports:
            ports = {side: registry.emulated_address("leader", side) for side in sides}
        self.address = ", ".join(f"{side} {port}" for side, port in ports.items())
        self._arms: dict[Side, dynamixel.Driver] = {}
        self._calibration: dict[Side, Calibration] = {}
        for side, port in ports.items():
            if side in sides:
                arm = dynamixel.Driver(port, side, options.servos)
                self._arms[side] = arm
                self._calibration[side] = Calibration(arm.joints, options.calibration.get(side, {}))
        self._mailbox = Mailbox()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def open(self) -> None:
        self.close()
        self._mailbox.clear()
        for arm in self._arms.values():
            arm.connect()
        self._stop.clear()
        for side in self._arms:
            thread = threading.Thread(
                target=self._watch, args=(side,), name=f"{side} leader", daemon=True
            )
            self._threads.append(thread)
        for thread in self._threads:
            thread.start()

    def read(self, timeout_s: float) -> Sample | None:
        return self._mailbox.take(timeout_s)

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=1.0)
        self._threads = []
        for arm in self._arms.values():
            arm.disconnect()

    def _watch(self, side: Side) -> None:
        """In a thread of its own, until `close`."""
        try:
            while not self._stop.is_set():
                self._mailbox.put(Sample({side: self._seen(side)}))
        except XlvlaError as error:
            self._mailbox.fail(lost(error))

    def _seen(self, side: Side) -> TrackedSide:
        arm = self._arms[side]
        angles = self._calibration[side].joint(arm.read().position)
        joints = dict(zip(arm.joints, angles.tolist(), strict=True))
        keypoints = None if arm.gripper is None else closed(side, arm.gripper)
        return TrackedSide(keypoints=keypoints, joints=joints)
