"""Poses and points through messages."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

import pinocchio as pin

from xlvla.errors import XlvlaError
from xlvla.ros import geometry


def test_a_pose_survives_its_message():
    placed = pin.SE3.Random().homogeneous
    message = geometry.pose(placed, 5_000_000_007, "operator")
    assert (message.header.stamp.sec, message.header.stamp.nanosec, message.header.frame_id) == (
        5,
        7,
        "operator",
    )
    np.testing.assert_allclose(geometry.matrix(message), placed, atol=1e-12)


def test_what_is_no_rotation_is_refused():
    message = geometry.pose(np.eye(4), 0, "operator")
    message.pose.orientation.w = 0.0
    with pytest.raises(XlvlaError, match="quaternion of length 0"):
        geometry.matrix(message)


def test_points_survive_their_message():
    points = np.random.default_rng(0).normal(size=(21, 3)).astype(np.float32)
    np.testing.assert_array_equal(geometry.points(geometry.cloud(points, 0, "left_wrist")), points)


def test_a_cloud_of_another_layout_is_refused():
    message = geometry.cloud(np.zeros((3, 3)), 0, "left_wrist")
    message.fields = message.fields[::-1]
    with pytest.raises(XlvlaError, match="x, y, z"):
        geometry.points(message)
