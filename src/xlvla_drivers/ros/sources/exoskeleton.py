"""Joint states of an exoskeleton, as a source of teleoperation."""

from __future__ import annotations

from typing import Any

import numpy as np
from rclpy.node import Node

from xlvla import topics as names
from xlvla.errors import XlvlaError
from xlvla.ros import convert, topics
from xlvla.ros.reader import Reader
from xlvla.types import Side
from xlvla_drivers.calibration import Calibration
from xlvla_drivers.ros.sources.topics import awaited, looked
from xlvla_drivers.teleop.closing import closed
from xlvla_drivers.teleop.exoskeleton import Options
from xlvla_drivers.teleop.operator import Sample, TrackedSide


class Driver:
    """A side is seen whenever its joint states are published."""

    address = names.namespace(names.EXOSKELETON)

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Node):
        self._options = options
        self._readers: dict[Side, Reader] = {
            side: Reader(node, topics.exoskeleton(side)) for side in sides
        }

    def open(self) -> None:
        """Topics are always there."""

    def read(self, timeout_s: float) -> Sample | None:
        return awaited(lambda: looked(self._readers, self._tracked), timeout_s)

    def close(self) -> None:
        """Nothing to close."""

    def _tracked(self, side: Side, message: Any) -> TrackedSide | None:
        try:
            angles = convert.by_name(message)
        except XlvlaError as error:
            self._readers[side].refuse(error)
            return None
        keypoints = self._take_grip(side, angles)
        names = {theirs.format(side=side): ours for theirs, ours in self._options.names.items()}
        joints = [names.get(name, name) for name in angles]
        calibration = Calibration(joints, self._options.calibration.get(side, {}))
        calibrated = calibration.joint(np.array(list(angles.values())))
        return TrackedSide(
            keypoints=keypoints, joints=dict(zip(joints, calibrated.tolist(), strict=True))
        )

    def _take_grip(self, side: Side, angles: dict[str, float]) -> np.ndarray | None:
        """Takes the grip's angle out of the joints; the keypoints [21, 3] m of a hand that is
        closed by that much.
        """
        grip = self._options.grip
        if grip is None:
            return None
        angle = angles.pop(grip.joint.format(side=side), None)
        if angle is None:
            return None
        return closed(side, (angle - grip.open) / (grip.closed - grip.open))
