"""The operator of a recorded episode, as a source of teleoperation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node

from xlvla.errors import XlvlaError
from xlvla.ros import geometry, topics
from xlvla.types import SECOND, Side, scoped
from xlvla_drivers.device import LinkLost
from xlvla_drivers.optional import installed
from xlvla_drivers.teleop.operator import Sample, TrackedSide
from xlvla_drivers.teleop.recorded import Options

PAUSE_S = 1.0
"""Between the end and the beginning, when the operator is not seen."""

TOGETHER_S = 0.004
"""Messages that are at most this far apart belong to one sample."""


class Driver:
    """Plays the topics `/teleop/{side}/...` of a rosbag2 directory or an MCAP file."""

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Node | None):
        self.address = address
        self._options = options
        self._files = _files(address)
        # The side of each topic.
        self._sides: dict[str, Side] = {}
        for side in sides:
            for topic in (topics.operator_wrist, topics.operator_keypoints, topics.leader):
                self._sides[topic(side).name] = side
        # Samples with their time [s] since the first.
        self._samples: Iterator[tuple[float, Sample]] = iter(())
        self._next: tuple[float, Sample] | None = None
        self._began_s = 0.0

    def open(self) -> None:
        self._samples = self._played()
        self._began_s = time.monotonic()
        self._next = next(self._samples, None)
        if self._next is None:
            raise XlvlaError(
                f"teleop.address: {self.address} holds nothing of an operator: "
                f"{', '.join(self._sides)}"
            )

    def read(self, timeout_s: float) -> Sample | None:
        if self._next is None:
            return self._ended(timeout_s)
        passed_s, sample = self._next
        due_s = self._began_s + passed_s / self._options.speed
        wait_s = min(due_s - time.monotonic(), timeout_s)
        time.sleep(max(wait_s, 0.0))
        if time.monotonic() < due_s:
            return None
        self._next = next(self._samples, None)
        if self._next is None:
            self._began_s = time.monotonic() + PAUSE_S
        return Sample(sample.sides, stamp_s=sample.stamp_s)

    def close(self) -> None:
        self._samples = iter(())
        self._next = None

    def _ended(self, timeout_s: float) -> None:
        """Waits for the next round."""
        time.sleep(timeout_s)
        if self._options.repeat and time.monotonic() > self._began_s:
            raise LinkLost(f"{self.address} begins anew")

    def _played(self) -> Iterator[tuple[float, Sample]]:
        """Samples with their time [s] since the first."""
        first_s: float | None = None
        last_s = 0.0
        sides: dict[Side, TrackedSide] = {}
        for now_s, name, message in self._messages():
            if first_s is None:
                first_s = now_s
            if sides and now_s > last_s + TOGETHER_S:
                yield last_s - first_s, Sample(sides, stamp_s=last_s / self._options.speed)
                sides = {}
            side = self._sides[name]
            tracked = sides.get(side, TrackedSide())
            sides[side] = _with(tracked, message, scoped(side, "arm", ""))
            last_s = now_s
        if sides and first_s is not None:
            yield last_s - first_s, Sample(sides, stamp_s=last_s / self._options.speed)

    def _messages(self) -> Iterator[tuple[float, str, Any]]:
        installed("mcap_ros2.decoder", "pip install 'xlvla[data]'")
        from mcap.exceptions import McapError
        from mcap.reader import make_reader
        from mcap_ros2.decoder import DecoderFactory

        for path in self._files:
            with path.open("rb") as file:
                try:
                    reader = make_reader(file, decoder_factories=[DecoderFactory()])
                    for _, channel, message, decoded in reader.iter_decoded_messages(
                        topics=list(self._sides)
                    ):
                        yield message.log_time / SECOND, channel.topic, decoded
                except McapError as error:
                    raise XlvlaError(f"teleop.address: {path} cannot be read: {error}") from None


def _with(tracked: TrackedSide, message: Any, scope: str) -> TrackedSide:
    """A side with one more message added; names of joints begin with `scope`."""
    # A PoseStamped, a PointCloud2, or a JointState.
    if hasattr(message, "pose"):
        return replace(tracked, T_world_wrist=geometry.matrix(message))
    if hasattr(message, "point_step"):
        return replace(tracked, keypoints=np.asarray(geometry.points(message)))
    names = [name.removeprefix(scope) for name in message.name]
    return replace(tracked, joints=dict(zip(names, message.position, strict=True)))


def _files(address: str) -> list[Path]:
    """The files of a bag, in order; XlvlaError where there are none."""
    path = Path(address)
    files: list[Path] = []
    if path.suffix == ".mcap":
        files = [path]
    elif address:
        files = sorted(path.glob("*.mcap"))
    if not files or not all(file.is_file() for file in files):
        raise XlvlaError(
            f"teleop.address: '{address}' is no bag: name the folder of an episode, or its .mcap "
            "file"
        )
    return files
