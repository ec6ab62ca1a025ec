"""How large a message may be: looked at before it is made into Python's objects, which takes a
loop's time.

Making a message of 10,000 points takes a hundred milliseconds, refusing its 1.8 MB two.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState, PointCloud2
from std_msgs.msg import Float32MultiArray, Float64MultiArray, Header, String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from xlvla.errors import XlvlaError
from xlvla.ros.convert import LONGEST_NAME, MOST_FRAMES

_KIB = 1 << 10
_MIB = 1 << 20

OTHERWISE = _MIB
LARGEST: dict[type, int] = {
    Clock: 64,
    Header: _KIB,
    PoseStamped: _KIB,
    CameraInfo: 4 * _KIB,
    DiagnosticStatus: 8 * _KIB,
    JointState: 64 * _KIB,
    PointCloud2: 64 * _KIB,
    String: 64 * _KIB,
    DiagnosticArray: 256 * _KIB,
    Float32MultiArray: 256 * _KIB,
    Float64MultiArray: 256 * _KIB,
    JointTrajectory: 256 * _KIB,
    CompressedImage: 16 * _MIB,
    Image: 64 * _MIB,
}
"""Bytes of a serialised message of a kind, where a reader knows nothing better."""

PICTURE_HEAD = 4 * _KIB
"""Bytes of an Image beside its pixels."""


def of_joints(names: Sequence[str]) -> int:
    """Bytes of the largest JointState of these joints."""
    numbers = [0.0] * len(names)
    message = JointState(name=list(names), position=numbers, velocity=numbers, effort=numbers)
    return _with_frame(message)


def of_chunk(names: Sequence[str]) -> int:
    """Bytes of the largest chunk of these joints."""
    numbers = [0.0] * len(names)
    point = JointTrajectoryPoint(
        positions=numbers, velocities=numbers, accelerations=numbers, effort=numbers
    )
    return _with_frame(JointTrajectory(joint_names=list(names), points=[point] * MOST_FRAMES))


def of_picture(width: int, height: int) -> int:
    """Bytes of the largest picture, compressed or not, of a camera that publishes this size; rows
    may be padded.
    """
    return 4 * width * height + PICTURE_HEAD


def _with_frame(message: Any) -> int:
    """The size of a message with the longest `frame_id`."""
    message.header.frame_id = "x" * LONGEST_NAME
    return len(serialize_message(message)) + 8  # numbers are aligned to eight bytes


def check(data: bytes, largest: int) -> None:
    """Raises XlvlaError for a serialised message that is larger than it may be."""
    if len(data) > largest:
        raise XlvlaError(f"a message of {len(data)} bytes is refused: at most {largest} are read")


def check_chunk(data: bytes, largest: int, joints: int) -> None:
    """The same of a chunk, by what its serialised message says of its names and frames: points may
    be empty.
    """
    check(data, largest)
    try:
        names, frames = _counts(data)
    except struct.error:
        raise XlvlaError("a chunk that is cut off is refused") from None
    if names > joints:
        raise XlvlaError(f"a chunk of {names} joints is refused: there are {joints}")
    if frames > MOST_FRAMES:
        raise XlvlaError(f"a chunk of {frames} frames is refused: at most {MOST_FRAMES} are played")


def _counts(data: bytes) -> tuple[int, int]:
    """How many joints and points a serialised JointTrajectory names: it begins with a stamp, a
    frame and the names.
    """
    length = struct.Struct("<I" if data[1] & 1 else ">I")
    at = _after_text(data, 12, length)
    (names,) = length.unpack_from(data, at)
    at += length.size
    for _ in range(min(names, len(data) // length.size)):
        at = _after_text(data, at, length)
    (frames,) = length.unpack_from(data, at)
    return names, frames


def _after_text(data: bytes, at: int, length: struct.Struct) -> int:
    """Where what follows the text at `at` stands; counts are aligned to four bytes, as the four
    before the message are.
    """
    (characters,) = length.unpack_from(data, at)
    end = at + length.size + characters
    return end + -end % 4
