"""MANUS gloves on their topics, as a source of teleoperation with another one for the arms."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
from rclpy.node import Node

from xlvla.errors import XlvlaError
from xlvla.ros.reader import Reader
from xlvla.ros.topics import SENSOR, Topic
from xlvla.types import SIDES, Side
from xlvla_drivers import registry
from xlvla_drivers.optional import installed
from xlvla_drivers.teleop.manus import Options
from xlvla_drivers.teleop.manus_frames import Node as GloveNode
from xlvla_drivers.teleop.manus_frames import keypoints
from xlvla_drivers.teleop.operator import (
    SILENCE_S,
    Sample,
    TeleopSource,
    TrackedSide,
)


class Driver:
    """Samples of the arms' source with the fingers of the gloves; fingers of a silent glove stay
    where they were.
    """

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Node):
        glove = installed(
            "manus_ros2_msgs.msg", "build MANUS's ROS 2 package and source its workspace"
        ).ManusGlove
        arms_options = registry.options(
            "teleop", options.arms, options.arms_options, "teleop.options.arms_options"
        )
        arms = registry.source_driver(options.arms)
        self._arms: TeleopSource = arms(options.arms_address, sides, arms_options, node)
        self._readers: list[Reader[Any]] = []
        for number in options.gloves:
            self._readers.append(
                Reader(node, Topic(f"/manus_glove_{number}", glove, SENSOR, foreign=True))
            )
        # The newest keypoints [21, 3] m and when they came [s, monotonic clock].
        self._fingers: dict[Side, tuple[float, np.ndarray]] = {}
        gloves = ", ".join(map(str, options.gloves))
        self.address = f"/manus_glove_{gloves} and {self._arms.address}"

    def open(self) -> None:
        self._fingers.clear()
        self._arms.open()

    def read(self, timeout_s: float) -> Sample | None:
        sample = self._arms.read(timeout_s)
        for reader in self._readers:
            message = reader.newest()
            if message is not None:
                self._on_glove(reader, message)
        if sample is None:
            return None
        sides: dict[Side, TrackedSide] = {}
        for side, tracked in sample.sides.items():
            sides[side] = dataclasses.replace(tracked, keypoints=self._keypoints(side))
        return dataclasses.replace(sample, sides=sides)

    def close(self) -> None:
        self._arms.close()

    def _keypoints(self, side: Side) -> np.ndarray | None:
        """The newest keypoints of a side; None where its glove is silent."""
        received_s, fingers = self._fingers.get(side, (0.0, None))
        if time.monotonic() - received_s < SILENCE_S:
            return fingers
        return None

    def _on_glove(self, reader: Reader[Any], message: Any) -> None:
        nodes: list[GloveNode] = []
        for raw in message.raw_nodes:
            position = raw.pose.position
            nodes.append((raw.chain_type, raw.joint_type, (position.x, position.y, position.z)))
        try:
            for side in SIDES:
                if side == message.side.lower():
                    self._fingers[side] = (time.monotonic(), keypoints(nodes))
        except XlvlaError as error:
            reader.refuse(error)
