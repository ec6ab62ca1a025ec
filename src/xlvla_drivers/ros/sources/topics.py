"""Trackers that speak ROS, as a source of teleoperation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from rclpy.node import Node

from xlvla import topics as names
from xlvla.errors import XlvlaError
from xlvla.ros import geometry, topics
from xlvla.ros.convert import SECOND, nanoseconds
from xlvla.ros.reader import Reader
from xlvla.types import Side
from xlvla_drivers.teleop.operator import SILENCE_S, Sample, TrackedSide
from xlvla_drivers.teleop.topics import Options

LOOK_S = 0.002
"""How often topics are looked at: a look at one takes a hundredth of that time."""


def awaited(look: Callable[[], Sample | None], timeout_s: float) -> Sample | None:
    """What a look at topics finds, at the latest after so long."""
    give_up_s = time.monotonic() + timeout_s
    while (sample := look()) is None and time.monotonic() < give_up_s:
        time.sleep(LOOK_S)
    return sample


def looked(
    readers: Mapping[Side, Reader], tracked: Callable[[Side, Any], TrackedSide | None]
) -> Sample | None:
    """The sides of which something was said since the last look, and that can be understood; None
    where there are none.
    """
    messages: dict[Side, Any] = {
        side: message
        for side, reader in readers.items()
        if (message := reader.newest()) is not None
    }
    sides: dict[Side, TrackedSide] = {
        side: seen
        for side, message in messages.items()
        if (seen := tracked(side, message)) is not None
    }
    stamps = [nanoseconds(message.header.stamp) for message in messages.values()]
    return Sample(sides, stamp_s=max(stamps) / SECOND if all(stamps) else None) if sides else None


class Driver:
    """A side is seen whenever its wrist is said; its keypoints are the newest ones, where they are
    not old.
    """

    address = names.namespace(names.TRACKED_WRIST)

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Node):
        self._wrists: dict[Side, Reader] = {
            side: Reader(node, topics.tracked_wrist(side)) for side in sides
        }
        self._keypoints: dict[Side, Reader] = {
            side: Reader(node, topics.tracked_keypoints(side)) for side in sides
        }
        self._newest: dict[Side, tuple[int, np.ndarray]] = {}

    def open(self) -> None:
        """Topics are always there."""
        self._newest.clear()

    def read(self, timeout_s: float) -> Sample | None:
        return awaited(lambda: looked(self._wrists, self._tracked), timeout_s)

    def close(self) -> None:
        """Nothing to close."""

    def _tracked(self, side: Side, wrist: Any) -> TrackedSide | None:
        stamp_ns = nanoseconds(wrist.header.stamp)
        try:
            if (cloud := self._keypoints[side].newest()) is not None:
                self._newest[side] = nanoseconds(cloud.header.stamp), geometry.points(cloud)
            said_ns, keypoints = self._newest.get(side, (0, None))
            fresh = abs(stamp_ns - said_ns) <= SILENCE_S * SECOND
            return TrackedSide(geometry.matrix(wrist), keypoints if fresh else None)
        except XlvlaError as error:
            self._wrists[side].refuse(error)
            return None
