"""The operator of a recorded episode, as a source of teleoperation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node

from xlvla.errors import XlvlaError
from xlvla.ros import geometry, topics
from xlvla.types import SECOND, Side, scoped
from xlvla_drivers.device import LinkLost
from xlvla_drivers.teleop.operator import Sample, TrackedSide, installed
from xlvla_drivers.teleop.recorded import Options

PAUSE_S = 1.0
"""Between the end and the beginning: nobody is seen then."""

TOGETHER_S = 0.004
"""Messages so near to each other were one sample."""


class Driver:
    """Plays the topics `/teleop/{side}/...` of a rosbag2 directory or an MCAP file."""

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Node | None):
        self.address = address
        self._options = options
        self._files = _files(address)
        self._sides: dict[str, Side] = {
            topic(side).name: side
            for side in sides
            for topic in (topics.operator_wrist, topics.operator_keypoints, topics.leader)
        }
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
        due_s = self._began_s + self._next[0] / self._options.speed
        time.sleep(max(min(due_s - time.monotonic(), timeout_s), 0.0))
        if time.monotonic() < due_s:
            return None
        sample = self._next[1]
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
        sides: dict[Side, TrackedSide] = {}
        last_s = 0.0
        for now_s, name, message in self._messages():
            first_s = now_s if first_s is None else first_s
            if sides and now_s > last_s + TOGETHER_S:
                yield last_s - first_s, Sample(sides, stamp_s=last_s / self._options.speed)
                sides = {}
            side = self._sides[name]
            sides[side], last_s = (
                _with(sides.get(side, TrackedSide()), message, scoped(side, "arm", "")),
                now_s,
            )
        if sides and first_s is not None:
            yield last_s - first_s, Sample(sides, stamp_s=last_s / self._options.speed)

    def _messages(self) -> Iterator[tuple[float, str, Any]]:
        installed("mcap_ros2.decoder", "'xlvla[data]'")
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
    """What was known, with one message more; names of joints begin with `scope`."""
    if hasattr(message, "pose"):
        return TrackedSide(geometry.matrix(message), tracked.keypoints, tracked.joints)
    if hasattr(message, "point_step"):
        return TrackedSide(
            tracked.T_world_wrist, np.asarray(geometry.points(message)), tracked.joints
        )
    names = [name.removeprefix(scope) for name in message.name]
    return TrackedSide(
        tracked.T_world_wrist, tracked.keypoints, dict(zip(names, message.position, strict=True))
    )


def _files(address: str) -> list[Path]:
    path = Path(address)
    files = [path] if path.suffix == ".mcap" else sorted(path.glob("*.mcap")) if address else []
    if not files or not all(file.is_file() for file in files):
        raise XlvlaError(
            f"teleop.address: '{address}' is no bag: name the folder of an episode, or its .mcap "
            "file"
        )
    return files
