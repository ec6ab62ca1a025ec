"""Poses and points as messages, and back."""

from __future__ import annotations

import array

import numpy as np
import pinocchio as pin  # pyright: ignore
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import PointCloud2, PointField

from xlvla.errors import XlvlaError
from xlvla.ros.convert import stamp

_FIELDS = [
    PointField(name=axis, offset=4 * k, datatype=PointField.FLOAT32, count=1)
    for k, axis in enumerate("xyz")
]


def pose(matrix: np.ndarray, ns: int, frame: str) -> PoseStamped:
    """The message of a pose [4, 4]."""
    message = PoseStamped()
    message.header.stamp, message.header.frame_id = stamp(ns), frame
    position = message.pose.position
    orientation = message.pose.orientation
    position.x, position.y, position.z = matrix[:3, 3].tolist()
    orientation.x, orientation.y, orientation.z, orientation.w = (
        pin.Quaternion(np.ascontiguousarray(matrix[:3, :3])).coeffs().tolist()
    )
    return message


def matrix(message: PoseStamped) -> np.ndarray:
    """The pose [4, 4] of a message; refuses a quaternion that is no rotation. What is not finite
    stays so.
    """
    position = message.pose.position
    orientation = message.pose.orientation
    coefficients = np.array([orientation.x, orientation.y, orientation.z, orientation.w])
    length = float(np.linalg.norm(coefficients))
    if not abs(length - 1.0) <= 0.1:  # nor where it is no number
        raise XlvlaError(
            f"a pose in '{message.header.frame_id}' has a quaternion of length {length:.3f}: it "
            "must be 1"
        )
    made = np.eye(4)
    made[:3, :3] = pin.Quaternion(coefficients / length).matrix()
    made[:3, 3] = position.x, position.y, position.z
    return made


def cloud(points: np.ndarray, ns: int, frame: str) -> PointCloud2:
    """The message of points [K, 3], float32, which RViz shows."""
    message = PointCloud2(
        height=1,
        width=len(points),
        fields=_FIELDS,
        point_step=12,
        row_step=12 * len(points),
        is_dense=True,
    )
    message.header.stamp, message.header.frame_id = stamp(ns), frame
    message.data = array.array("B", np.ascontiguousarray(points, dtype="<f4").tobytes())
    return message


def points(message: PointCloud2) -> np.ndarray:
    """Points [K, 3] float32 of a message that begins every point with x, y and z as float32."""
    layout = [(field.name, field.offset, field.datatype) for field in list(message.fields)[:3]]
    if (
        layout != [(field.name, field.offset, field.datatype) for field in _FIELDS]
        or message.is_bigendian
    ):
        raise XlvlaError(
            f"a cloud in '{message.header.frame_id}' must begin every point with x, y, z as "
            "little-endian float32"
        )
    if message.point_step < 12 or len(message.data) % message.point_step:
        raise XlvlaError(
            f"a cloud of {len(message.data)} bytes cannot have points of {message.point_step} bytes"
        )
    rows = np.frombuffer(bytes(message.data), np.uint8).reshape(-1, message.point_step)
    return np.ascontiguousarray(rows[:, :12]).view("<f4")
