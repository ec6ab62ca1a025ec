"""From serialised messages to their fields."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.text import plain
from xlvla.types import SECOND
from xlvla_data.bag.layout import BagTopic

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

START = 4
"""Bytes of CDR's header, before a message's first field; numbers are aligned from there on, and
little-endian on the machines ROS runs on.
"""

_LITTLE_ENDIAN = b"\0\1"
"""How CDR's header begins."""

_TIME = struct.Struct("<iI")
_LENGTH = struct.Struct("<I")
_DOUBLE_BYTES = 8

_ENCAPSULATIONS = (b"\0\0", b"\0\1")
"""What a message of ROS begins with: CDR, its numbers big-endian or little-endian."""

_LONG = 4096
"""From so many bytes on, another copy of a message costs more than to look at the one there is."""

JOINT_STATE = "sensor_msgs/msg/JointState"

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
    """The text whose length is at or after `at`, and where it ends."""
    at += -at % 4
    (length,) = _LENGTH.unpack_from(data, at)
    begin = at + _LENGTH.size
    end = begin + length
    # Without the zero at its end
    return data[begin : end - 1].decode(errors="replace"), end


class Positions:
    """Reads the positions of JointStates without decoding the rest: a recorder gets a thousand of
    them a second.

    Attributes:
        names: of the newest message.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        # Bytes from the stamp to the positions, which are the same in every message of a stream,
        # and where the positions begin and end
        self._head = b""
        self._begin = 0
        self._end = 0

    def __call__(self, data: bytes) -> np.ndarray:
        """Positions [J] of a serialised JointState, in its own order; [0] where it has none."""
        if not self._head or not data.startswith(self._head, START + _TIME.size):
            self._learn(data)
        count = (self._end - self._begin) // _DOUBLE_BYTES
        return np.frombuffer(data, "<f8", count, self._begin)

    def _learn(self, data: bytes) -> None:
        """Learns a stream's names, and where its positions are behind them."""
        _, at = read_text(data, START + _TIME.size)
        count, at = _read_length(data, at)
        names = list[str]()
        for _ in range(count):
            name, at = read_text(data, at)
            names.append(name)
        count, head_end = _read_length(data, at)
        self.names = tuple(names)
        self._head = data[START + _TIME.size : head_end]
        self._begin = 0
        if count:
            self._begin = head_end + (START - head_end) % _DOUBLE_BYTES
        self._end = self._begin + _DOUBLE_BYTES * count


def _read_length(data: bytes, at: int) -> tuple[int, int]:
    """The length of a sequence, which is at or after `at`, and where it ends."""
    at += -at % 4
    (count,) = _LENGTH.unpack_from(data, at)
    return count, at + _LENGTH.size


@dataclass(frozen=True)
class JointStateLayout:
    """What is the same in all messages of a stream, by their length.

    Args:
        head: from behind the stamp to the count of the positions.
        names: of the joints.
        counts: where the counts of velocities and efforts stand, and what they are.
        numbers: positions, velocities, efforts: how many, and where the first one is.
    """

    head: bytes
    frame: str
    names: tuple[str, ...]
    counts: tuple[tuple[int, bytes], tuple[int, bytes]]
    numbers: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


class JointStates:
    """Decodes the joint states of one topic, which are most of a robot's messages: names and frame
    are decoded once, since they are the same in message after message.
    """

    def __init__(self, types: Typestore) -> None:
        self._state: Any = types.types[JOINT_STATE]
        self._header: Any = types.types["std_msgs/msg/Header"]
        self._time: Any = types.types["builtin_interfaces/msg/Time"]
        self._layouts: dict[int, JointStateLayout] = {}

    def __call__(self, data: bytes) -> Any:
        """The fields of a serialised message; None where none like it was learned."""
        layout = self._layouts.get(len(data))
        if layout is None or not data.startswith(_LITTLE_ENDIAN):
            return None
        # As it is aligned in CDR, so are its numbers in memory
        body = data[START:]
        (velocities_at, velocities), (efforts_at, efforts) = layout.counts
        if not (
            body.startswith(layout.head, _TIME.size)
            and body.startswith(velocities, velocities_at)
            and body.startswith(efforts, efforts_at)
        ):
            return None
        seconds, nanoseconds = _TIME.unpack_from(body)
        position, velocity, effort = layout.numbers
        return self._state(
            self._header(self._time(seconds, nanoseconds), layout.frame),
            list(layout.names),
            np.frombuffer(body, np.float64, *position),
            np.frombuffer(body, np.float64, *velocity),
            np.frombuffer(body, np.float64, *effort),
        )

    def learn(self, data: bytes) -> None:
        """Learns from a message that can be decoded how those of its length are laid out."""
        if not data.startswith(_LITTLE_ENDIAN):
            return
        body = data[START:]
        frame, at = read_text(body, _TIME.size)
        name_count, at = _read_length(body, at)
        names = list[str]()
        for _ in range(name_count):
            name, at = read_text(body, at)
            names.append(name)
        ends = list[int]()
        numbers = list[tuple[int, int]]()
        for _ in range(3):
            count, at = _read_length(body, at)
            ends.append(at)
            if count:
                at += -at % _DOUBLE_BYTES
            numbers.append((count, at))
            at += count * _DOUBLE_BYTES
        positions_end, *other_ends = ends
        counts = [(end - _LENGTH.size, body[end - _LENGTH.size : end]) for end in other_ends]
        self._layouts[len(data)] = JointStateLayout(
            head=body[_TIME.size : positions_end],
            frame=frame,
            names=tuple(names),
            counts=(counts[0], counts[1]),
            numbers=(numbers[0], numbers[1], numbers[2]),
        )


class Decoder:
    """Decodes every type that a bag defines."""

    def __init__(self) -> None:
        from rosbags.typesys import Stores, get_typestore

        self._types: Typestore = get_typestore(Stores.ROS2_JAZZY)
        self._joint_states: dict[str, JointStates] = {}

    def __call__(self, topic: BagTopic, data: bytes) -> Any:
        """The fields of a serialised message; XlvlaError where it cannot be read."""
        if topic.type != JOINT_STATE:
            return self._decoded(topic, data)
        stream = self._joint_states.get(topic.name)
        if stream is None:
            stream = self._joint_states[topic.name] = JointStates(self._types)
        content = stream(data)
        if content is None:
            content = self._decoded(topic, data)
            stream.learn(data)
        return content

    def _decoded(self, topic: BagTopic, data: bytes) -> Any:
        try:
            if topic.type not in self._types.types:
                self._learn(topic)
            # Not every version of the library looks
            if data[:2] not in _ENCAPSULATIONS:
                raise ValueError("it does not begin as CDR does")
            seen = memoryview(data) if len(data) > _LONG else data
            return self._types.deserialize_cdr(seen, topic.type)
        # The library generates code for each type, which raises all kinds of errors on damaged data
        except Exception as error:
            reason = str(error) or type(error).__name__
            raise XlvlaError(
                f"{topic.name}: a message of {len(data)} bytes cannot be read as {topic.type}: "
                f"{plain(reason, 120)}"
            ) from None

    def _learn(self, topic: BagTopic) -> None:
        from rosbags.typesys import get_types_from_msg

        """Registers a topic's type, and those it is made of."""
        known = self._types.types
        definitions = get_types_from_msg(topic.definition, topic.type)
        new = {kind: fields for kind, fields in definitions.items() if kind not in known}
        self._types.register(new)
