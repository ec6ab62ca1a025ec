"""From serialised messages to their fields."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from xlvla_data.bag.layout import BagTopic

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

_TIME = struct.Struct("<iI")
_ENCAPSULATION = 4
"""Bytes before what a message says; little-endian is all that the machines ROS runs on send."""

STAMPED = {
    "std_msgs/msg/Header",
    "sensor_msgs/msg/JointState",
    "sensor_msgs/msg/CompressedImage",
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/CameraInfo",
    "sensor_msgs/msg/PointCloud2",
    "trajectory_msgs/msg/JointTrajectory",
    "geometry_msgs/msg/PoseStamped",
    "diagnostic_msgs/msg/DiagnosticArray",
}
"""Types that begin with a stamp."""


def header_ns(kind: str, data: bytes) -> int | None:
    """The stamp [ns] of a serialised message; None where its type has none."""
    if kind not in STAMPED:
        return None
    seconds, nanoseconds = _TIME.unpack_from(data, _ENCAPSULATION)
    return seconds * 1_000_000_000 + nanoseconds


class Decoder:
    """Decodes every type that a bag defines."""

    def __init__(self) -> None:
        from rosbags.typesys import Stores, get_typestore

        self._types: Typestore = get_typestore(Stores.ROS2_JAZZY)

    def __call__(self, topic: BagTopic, data: bytes) -> Any:
        if topic.type not in self._types.types:
            self._learn(topic)
        return self._types.deserialize_cdr(data, topic.type)

    def _learn(self, topic: BagTopic) -> None:
        from rosbags.typesys import get_types_from_msg

        known = self._types.types
        said = get_types_from_msg(topic.definition, topic.type)
        self._types.register({kind: fields for kind, fields in said.items() if kind not in known})
