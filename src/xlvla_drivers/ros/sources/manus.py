"""MANUS gloves on their topics, as a source of teleoperation beside another one for the arms."""

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
from xlvla_drivers.teleop.manus import Options
from xlvla_drivers.teleop.manus_frames import keypoints
from xlvla_drivers.teleop.operator import SILENCE_S, Sample, TeleopSource, installed


class Driver:
    """Fingers of a glove that has fallen silent stay where they were."""

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Node):
        glove = installed(
            "manus_ros2_msgs.msg", "nothing: build MANUS's ROS 2 package and source its workspace"
        ).ManusGlove
        chosen = registry.options(
            "teleop", options.arms, options.arms_options, "teleop.options.arms_options"
        )
        self._arms: TeleopSource = registry.source_driver(options.arms)(
            options.arms_address, sides, chosen, node
        )
        self._readers = [
            Reader(node, Topic(f"/manus_glove_{number}", glove, SENSOR))
            for number in options.gloves
        ]
        self._fingers: dict[Side, tuple[float, np.ndarray]] = {}
        self.address = (
            f"/manus_glove_{', '.join(map(str, options.gloves))} and {self._arms.address}"
        )

    def open(self) -> None:
        self._fingers.clear()
        self._arms.open()

    def read(self, timeout_s: float) -> Sample | None:
        sample = self._arms.read(timeout_s)
        for reader in self._readers:
            if (message := reader.newest()) is not None:
                self._on_glove(reader, message)
        if sample is None:
            return None
        return dataclasses.replace(
            sample,
            sides={
                side: self._with_fingers(side, tracked) for side, tracked in sample.sides.items()
            },
        )

    def close(self) -> None:
        self._arms.close()

    def _with_fingers(self, side: Side, tracked: Any) -> Any:
        received_s, fingers = self._fingers.get(side, (0.0, None))
        return dataclasses.replace(
            tracked, keypoints=fingers if time.monotonic() - received_s < SILENCE_S else None
        )

    def _on_glove(self, reader: Reader[Any], message: Any) -> None:
        nodes = [
            (n.chain_type, n.joint_type, (n.pose.position.x, n.pose.position.y, n.pose.position.z))
            for n in message.raw_nodes
        ]
        try:
            for side in SIDES:
                if side == message.side.lower():
                    self._fingers[side] = time.monotonic(), keypoints(nodes)
        except XlvlaError as error:
            reader.refuse(error)
