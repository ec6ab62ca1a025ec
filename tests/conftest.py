"""Settings of a test session, made before anything imports rclpy or mujoco."""

import os

import pytest

os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault(
    "ROS_DOMAIN_ID", str(1 + os.getpid() % 100)
)  # apart from a robot's, and from another session's
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

IN_REAL_TIME = ("tests/drivers/", "tests/graph/", "tests/ros/", "tests/motion/", "tests/teleop/")
"""Devices that must answer within 70 ms, and graphs at 200 Hz: a machine that stands still for a
moment is no mistake of theirs.
"""


def pytest_collection_modifyitems(items):
    for item in items:
        if item.nodeid.startswith(IN_REAL_TIME):
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=5))
