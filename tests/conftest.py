"""Settings of a test session, made before anything imports rclpy, torch or mujoco."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import crashes
import retries

os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ

# Apart from a robot's domain, from another session's, and from other workers of this session.
if IS_WORKER or "ROS_DOMAIN_ID" not in os.environ:
    os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)

# Workers share the processors: a thread each is all they get.
if IS_WORKER:
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"

REAL_TIME = ("tests/drivers/", "tests/graph/", "tests/ros/", "tests/teleop/")
"""Devices that must answer within 70 ms, and graphs at 200 Hz: nothing else runs beside them."""

WITHOUT_DEADLINE = (
    "tests/drivers/test_calibration.py",
    "tests/drivers/test_device_status.py",
    "tests/drivers/test_emulate_command.py::test_a_wrong_word_is_one_line",
    "tests/drivers/test_guard.py",
    "tests/drivers/test_own_folder.py",
    "tests/drivers/test_target_follower.py",
    "tests/graph/test_lifecycle.py",
    "tests/graph/test_network.py",
    "tests/graph/test_secure.py",
    "tests/graph/test_single_nodes.py",
    "tests/graph/test_watch.py",
    "tests/ros/test_command_session.py",
    "tests/ros/test_convert.py",
    "tests/ros/test_forms.py",
    "tests/ros/test_geometry.py",
    "tests/ros/test_ghost.py",
    "tests/ros/test_graph_faults.py",
    "tests/ros/test_neighbours.py",
    "tests/ros/test_stop.py",
    "tests/teleop/test_fingers.py",
    "tests/teleop/test_follow.py",
    "tests/teleop/test_webcam.py",
)
"""Modules and tests of these folders in which nothing must answer in time."""

LONGEST = (
    "tests/test_wiring.py",
    "tests/codec/test_wild_hands.py",
    "tests/policy/test_shared_training.py",
    "tests/ros/test_neighbours.py",
    "tests/policy/test_engines.py",
    "tests/codec/test_transfer.py",
    "tests/policy/test_policy_training.py",
    "tests/codec/test_quality.py",
    "tests/motion/test_distance_guard.py",
)
"""Modules that take longest: begun first, so that no processor waits for them at the end."""


def pytest_configure(config):
    config.pluginmanager.register(retries.Plugin(), "retries")
    config.pluginmanager.register(crashes.Plugin(), "crashes")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.nodeid.startswith(REAL_TIME) and not item.nodeid.startswith(WITHOUT_DEADLINE):
            item.add_marker(pytest.mark.realtime)
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
