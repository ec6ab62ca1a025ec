"""Trackers that speak ROS, as a source of teleoperation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.node import Node

from xlvla.errors import XlvlaError
from xlvla.ros import geometry, topics
from xlvla.ros.convert import SECOND, nanoseconds
from xlvla.ros.reader import Reader
from xlvla.types import Side
from xlvla_drivers.teleop.operator import SILENCE_S, Sample, Tracked

LOOK_S = 0.002
"""How often topics are looked at: a look at one takes a hundredth of that time."""


def awaited(look: Callable[[], Sample | None], timeout_s: float) -> Sample | None:
    """What a look at topics finds, at the latest after so long."""
    give_up_s = time.monotonic() + timeout_s
    while (sample := look()) is None and time.monotonic() < give_up_s:
        time.sleep(LOOK_S)
    return sample


def stamp_s(*messages: Any) -> float | None:
    """The newest stamp of messages [s]; None where one has none."""
    stamps = [nanoseconds(message.header.stamp) for message in messages]
    return max(stamps) / SECOND if all(stamps) else None


class TrackerTopics:
    """A side is seen whenever its wrist is said; its keypoints are the newest ones, where they are not old."""

    address = "/tracker"

    def __init__(self, node: Node, sides: tuple[Side, ...]):
        self._node = node
        self._wrists: dict[Side, Reader] = {side: Reader(node, topics.tracked_wrist(side)) for side in sides}
        self._keypoints: dict[Side, Reader] = {side: Reader(node, topics.tracked_keypoints(side)) for side in sides}
        self._newest: dict[Side, tuple[int, np.ndarray]] = {}

    def open(self) -> None:
        """Topics are always there."""
        self._newest.clear()

    def read(self, timeout_s: float) -> Sample | None:
        return awaited(self._look, timeout_s)

    def close(self) -> None:
        """Nothing to close."""

    def _look(self) -> Sample | None:
        """The sides whose wrist was said since the last look."""
        wrists: dict[Side, Any] = {side: message for side, reader in self._wrists.items() if (message := reader.newest()) is not None}
        sides: dict[Side, Tracked] = {
            side: tracked for side, message in wrists.items() if (tracked := self._tracked(side, message)) is not None
        }
        return Sample(sides, stamp_s=stamp_s(*wrists.values())) if sides else None

    def _tracked(self, side: Side, wrist: Any) -> Tracked | None:
        stamp_ns = nanoseconds(wrist.header.stamp)
        try:
            if (cloud := self._keypoints[side].newest()) is not None:
                self._newest[side] = nanoseconds(cloud.header.stamp), geometry.points(cloud)
            said_ns, keypoints = self._newest.get(side, (0, None))
            fresh = abs(stamp_ns - said_ns) <= SILENCE_S * SECOND
            return Tracked(geometry.matrix(wrist), keypoints if fresh else None)
        except XlvlaError as error:
            self._node.get_logger().warning(f"/tracker/{side}: {error}", throttle_duration_sec=2.0)
            return None
