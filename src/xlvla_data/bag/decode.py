"""From serialised messages to their fields."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.text import plain
from xlvla.types import SECOND
from xlvla_data.bag.layout import BagTopic

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

START = 4
"""Bytes before what a message says; numbers are aligned from there on, and little-endian on the
machines ROS runs on.
"""

_TIME = struct.Struct("<iI")
_LENGTH = struct.Struct("<I")

STAMPED = {
    "std_msgs/msg/Header",
    "sensor_msgs/msg/JointState",
    "sensor_msgs/msg/CompressedImage",
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/CameraInfo",
    "sensor_msgs/msg/PointCloud2",
    "trajectory_msgs/msg/JointTrajectory",
    "geometry_msgs/msg/PoseStamped",
}
"""Types that begin with a stamp."""


def header_ns(kind: str, data: bytes) -> int | None:
    """The stamp [ns] of a serialised message; None where its type has none."""
    if kind not in STAMPED:
        return None
    seconds, nanoseconds = _TIME.unpack_from(data, START)
    return seconds * SECOND + nanoseconds


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """The text whose length stands at or after `at`, and where it ends."""
    at += -at % 4
    (length,) = _LENGTH.unpack_from(data, at)
    end = at + _LENGTH.size + length
    return data[at + _LENGTH.size : end - 1].decode(errors="replace"), end


class Positions:
    """Positions of JointStates without decoding the rest: a recorder looks at a thousand of them a
    second.

    Attributes:
        names: of the newest message.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self._head = b""
        self._at = 0
        self._end = 0

    def __call__(self, data: bytes) -> np.ndarray:
        """Positions [J] of a serialised JointState, in its own order; [0] where it has none."""
        if not self._head or not data.startswith(self._head, START + _TIME.size):
            self._learn(data)
        return np.frombuffer(data, "<f8", (self._end - self._at) // 8, self._at)

    def _learn(self, data: bytes) -> None:
        """Where positions stand behind these names; what stands before them is the same in every
        message of a stream.
        """
        _, at = read_text(data, START + _TIME.size)
        at += -at % 4
        (count,) = _LENGTH.unpack_from(data, at)
        names = list[str]()
        at = at + _LENGTH.size
        for _ in range(count):
            name, at = read_text(data, at)
            names.append(name)
        at += -at % 4
        (count,) = _LENGTH.unpack_from(data, at)
        end = at + _LENGTH.size
        self.names = tuple(names)
        self._head = data[START + _TIME.size : end]
        self._at = end + (START - end) % 8 if count else 0
        self._end = self._at + 8 * count


class Decoder:
    """Decodes every type that a bag defines."""

    def __init__(self) -> None:
        from rosbags.typesys import Stores, get_typestore

        self._types: Typestore = get_typestore(Stores.ROS2_JAZZY)

    def __call__(self, topic: BagTopic, data: bytes) -> Any:
        """The fields of a serialised message; XlvlaError where it cannot be read."""
        try:
            if topic.type not in self._types.types:
                self._learn(topic)
            return self._types.deserialize_cdr(data, topic.type)
        # The library's code is made for each type, and fails in as many ways on what is cut off or
        # damaged
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise XlvlaError(
                f"{topic.name}: a message of {len(data)} bytes cannot be read as {topic.type}: "
                f"{plain(reason, 120)}"
            ) from None

    def _learn(self, topic: BagTopic) -> None:
        from rosbags.typesys import get_types_from_msg

        known = self._types.types
        definitions = get_types_from_msg(topic.definition, topic.type)
        self._types.register(
            {kind: fields for kind, fields in definitions.items() if kind not in known}
        )
