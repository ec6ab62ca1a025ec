"""Trackers that speak ROS, as a source of teleoperation."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from rclpy.node import Node

from xlvla.errors import XlvlaError
from xlvla.ros import geometry, topics
from xlvla.ros.convert import SECOND, nanoseconds
from xlvla.ros.reader import Reader
from xlvla.types import Side
from xlvla_drivers.teleop.operator import SILENCE_S, Sample, Tracked

LOOK_S = 0.001
"""How often topics are looked at: a look at one takes a hundredth of that."""


class TrackerTopics:
    """A side is seen whenever its wrist is said; its keypoints are the newest ones, where they are not old."""

    address = "/tracker"

    def __init__(self, node: Node, sides: tuple[Side, ...]):
        self._node = node
        self._wrists = {side: Reader(node, topics.tracked_wrist(side)) for side in sides}
        self._keypoints = {side: Reader(node, topics.tracked_keypoints(side)) for side in sides}
        self._newest: dict[Side, tuple[int, np.ndarray]] = {}

    def open(self) -> None:
        """Topics are always there."""
        self._newest.clear()

    def read(self, timeout_s: float) -> Sample | None:
        give_up_s = time.monotonic() + timeout_s
        while not (seen := self._seen()):
            if time.monotonic() > give_up_s:
                return None
            time.sleep(LOOK_S)
        stamps = [stamp_ns for stamp_ns, _ in seen.values()]
        return Sample({side: tracked for side, (_, tracked) in seen.items()}, stamp_s=max(stamps) / SECOND if all(stamps) else None)

    def close(self) -> None:
        """Nothing to close."""

    def _seen(self) -> dict[Side, tuple[int, Tracked]]:
        """The sides whose wrist was said since the last look, with the stamps [ns]."""
        wrists = {side: message for side, reader in self._wrists.items() if (message := reader.newest()) is not None}
        return {side: seen for side, message in wrists.items() if (seen := self._tracked(side, message)) is not None}

    def _tracked(self, side: Side, wrist: Any) -> tuple[int, Tracked] | None:
        stamp_ns = nanoseconds(wrist.header.stamp)
        try:
            if (cloud := self._keypoints[side].newest()) is not None:
                self._newest[side] = nanoseconds(cloud.header.stamp), geometry.points(cloud)
            said_ns, keypoints = self._newest.get(side, (0, None))
            fresh = abs(stamp_ns - said_ns) <= SILENCE_S * SECOND
            return stamp_ns, Tracked(geometry.matrix(wrist), keypoints if fresh else None)
        except XlvlaError as error:
            self._node.get_logger().warning(f"/tracker/{side}: {error}", throttle_duration_sec=2.0)
            return None
