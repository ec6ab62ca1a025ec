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
    """A side is seen whenever its joint states are said."""

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
        grip = self._options.grip
        names = {theirs.format(side=side): ours for theirs, ours in self._options.names.items()}
        keypoints = None
        if (
            grip is not None
            and (angle := angles.pop(grip.joint.format(side=side), None)) is not None
        ):
            keypoints = closed(side, (angle - grip.open) / (grip.closed - grip.open))
        joints = [names.get(name, name) for name in angles]
        ours = Calibration(joints, self._options.calibration.get(side, {})).joint(
            np.array(list(angles.values()))
        )
        return TrackedSide(
            keypoints=keypoints, joints=dict(zip(joints, ours.tolist(), strict=True))
        )
