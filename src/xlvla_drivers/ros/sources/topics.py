"""Trackers with a ROS driver, as a source of teleoperation."""

from __future__ import annotations

import math
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
"""How often topics are read while nothing comes; reading one takes a hundredth of that time."""


def awaited(look: Callable[[], Sample | None], timeout_s: float) -> Sample | None:
    """The first sample of repeated looks; None where there was none within `timeout_s`."""
    give_up_s = time.monotonic() + timeout_s
    while True:
        sample = look()
        if sample is not None or time.monotonic() >= give_up_s:
            return sample
        time.sleep(LOOK_S)


def looked(
    readers: Mapping[Side, Reader], tracked: Callable[[Side, Any], TrackedSide | None]
) -> Sample | None:
    """A sample of the sides that had a valid message since the last look; None where none had.

    Args:
        readers: by side.
        tracked: makes a side of its newest message, or None where that is invalid.
    """
    stamps: list[int] = []
    sides: dict[Side, TrackedSide] = {}
    for side, reader in readers.items():
        message = reader.newest()
        if message is None:
            continue
        stamps.append(nanoseconds(message.header.stamp))
        side_now = tracked(side, message)
        if side_now is not None:
            sides[side] = side_now
    if not sides:
        return None
    # A stamp of 0 is that of a driver which gives none.
    stamp_s = max(stamps) / SECOND if all(stamps) else None
    return Sample(sides, stamp_s=stamp_s)


class Driver:
    """A side is seen whenever its wrist is published; its keypoints are the newest ones, unless
    they are old. While its wrist is silent it is seen by its keypoints: a hand alone needs no more.
    """

    address = names.namespace(names.TRACKED_WRIST)

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Node):
        self._wrists: dict[Side, Reader] = {}
        self._keypoints: dict[Side, Reader] = {}
        for side in sides:
            self._wrists[side] = Reader(node, topics.tracked_wrist(side))
            self._keypoints[side] = Reader(node, topics.tracked_keypoints(side))
        # The newest keypoints and their stamp [ns].
        self._newest: dict[Side, tuple[int, np.ndarray]] = {}
        # When the wrist of each side came last [s, monotonic clock].
        self._wrist_s: dict[Side, float] = dict.fromkeys(sides, -math.inf)

    def open(self) -> None:
        """Forgets old keypoints; topics need no connection."""
        self._newest.clear()

    def read(self, timeout_s: float) -> Sample | None:
        return awaited(self._look, timeout_s)

    def close(self) -> None:
        """Nothing to close."""

    def _look(self) -> Sample | None:
        now_s = time.monotonic()
        sample = looked(self._wrists, self._tracked)
        if sample is not None:
            self._wrist_s.update(dict.fromkeys(sample.sides, now_s))
            return sample
        silent: dict[Side, Reader] = {}
        for side, reader in self._keypoints.items():
            if now_s - self._wrist_s[side] > SILENCE_S:
                silent[side] = reader
        return looked(silent, self._fingers)

    def _fingers(self, side: Side, cloud: Any) -> TrackedSide | None:
        try:
            keypoints = geometry.points(cloud)
        except XlvlaError as error:
            self._keypoints[side].refuse(error)
            return None
        self._newest[side] = (nanoseconds(cloud.header.stamp), keypoints)
        return TrackedSide(keypoints=keypoints)

    def _tracked(self, side: Side, wrist: Any) -> TrackedSide | None:
        stamp_ns = nanoseconds(wrist.header.stamp)
        try:
            cloud = self._keypoints[side].newest()
            if cloud is not None:
                self._newest[side] = (nanoseconds(cloud.header.stamp), geometry.points(cloud))
            keypoints_ns, keypoints = self._newest.get(side, (0, None))
            if abs(stamp_ns - keypoints_ns) > SILENCE_S * SECOND:
                keypoints = None
            return TrackedSide(geometry.matrix(wrist), keypoints)
        except XlvlaError as error:
            self._wrists[side].refuse(error)
            return None
