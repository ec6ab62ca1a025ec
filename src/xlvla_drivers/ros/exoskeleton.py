"""Joint states of an exoskeleton, as a source of teleoperation."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node

from xlvla.device import JointCalibration
from xlvla.errors import XlvlaError
from xlvla.ros import convert, topics
from xlvla.ros.reader import Reader
from xlvla.types import Side
from xlvla_drivers.ros.tracker import awaited, stamp_s
from xlvla_drivers.teleop.closing import closed
from xlvla_drivers.teleop.exoskeleton import Options
from xlvla_drivers.teleop.operator import Sample, Tracked


class Exoskeleton:
    """A side is seen whenever its joint states are said."""

    address = "/exoskeleton"

    def __init__(self, node: Node, sides: tuple[Side, ...], options: Options):
        self._node, self._options = node, options
        self._readers: dict[Side, Reader] = {side: Reader(node, topics.exoskeleton(side)) for side in sides}

    def open(self) -> None:
        """Topics are always there."""

    def read(self, timeout_s: float) -> Sample | None:
        return awaited(self._look, timeout_s)

    def close(self) -> None:
        """Nothing to close."""

    def _look(self) -> Sample | None:
        said: dict[Side, Any] = {side: message for side, reader in self._readers.items() if (message := reader.newest()) is not None}
        sides: dict[Side, Tracked] = {
            side: tracked for side, message in said.items() if (tracked := self._tracked(side, message)) is not None
        }
        return Sample(sides, stamp_s=stamp_s(*said.values())) if sides else None

    def _tracked(self, side: Side, message: Any) -> Tracked | None:
        try:
            angles = convert.by_name(message)
        except XlvlaError as error:
            self._node.get_logger().warning(f"/exoskeleton/{side}: {error}", throttle_duration_sec=2.0)
            return None
        grip, names = self._options.grip, {theirs.format(side=side): ours for theirs, ours in self._options.names.items()}
        keypoints = None
        if grip is not None and (angle := angles.pop(grip.joint.format(side=side), None)) is not None:
            keypoints = closed(side, (angle - grip.open) / (grip.closed - grip.open))
        return Tracked(keypoints=keypoints, joints={names.get(name, name): angle for name, angle in self._ours(side, angles, names)})

    def _ours(self, side: Side, angles: dict[str, float], names: dict[str, str]) -> list[tuple[str, float]]:
        """The exoskeleton's angles as the arm's."""
        known = self._options.calibration.get(side, {})
        chosen = {name: known.get(names.get(name, name), JointCalibration()) for name in angles}
        return [(name, chosen[name].sign * chosen[name].scale * angle + chosen[name].offset) for name, angle in angles.items()]
