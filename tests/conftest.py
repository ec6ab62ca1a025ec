"""Settings of a test session, made before anything imports rclpy or mujoco, and who runs beside whom.

`make test` runs two workers: one for what talks to devices and nodes in real time, which mostly waits, one for what computes.
"""

import contextlib
import os

import pytest

os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))  # apart from a robot's, and from another session's
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

IN_REAL_TIME = (
    *("tests/drivers/", "tests/graph/", "tests/ros/", "tests/motion/", "tests/teleop/"),
    *("tests/evaluation/test_elsewhere.py", "tests/test_wiring.py"),
)
"""Devices that must answer within 70 ms, and graphs at 200 Hz: a machine that stands still for a moment is no mistake of theirs."""

COMPUTING = 15
"""How nice a test is that runs beside those."""


def pytest_collection_modifyitems(items):
    for item in items:
        waits = item.nodeid.startswith(IN_REAL_TIME)
        item.add_marker(pytest.mark.xdist_group("real time" if waits else item.nodeid.partition("::")[0]))
        if waits:
            item.add_marker(pytest.mark.flaky(reruns=2, reruns_delay=5))


def pytest_runtest_setup(item):
    if "PYTEST_XDIST_WORKER" in os.environ:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, 0 if item.nodeid.startswith(IN_REAL_TIME) else COMPUTING)
