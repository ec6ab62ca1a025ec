"""Teleoperation when the system's clock is set back: its loop in this process, its operator on
topics.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy

import clock_set_back
from xlvla import rig_file
from xlvla.ros import convert, geometry, topics
from xlvla.ros.clock import Clock
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.run import own_domain
from xlvla_drivers.ros.teleop_loop import TeleopLoop
from xlvla_drivers.teleop.closing import closed


@pytest.fixture
def node():
    rclpy.init(domain_id=own_domain())
    made = RigNode("teleop")
    made.rig = rig_file.load("teleop_topics")
    made.clock = Clock()
    yield made
    made.destroy_node()
    rclpy.shutdown()


def test_the_operator_is_published_with_the_new_time_when_the_clock_is_set_back(node, monkeypatch):
    wrist = topics.tracked_wrist("left")
    keypoints = topics.tracked_keypoints("left")
    wrists = node.create_publisher(wrist.type, wrist.name, wrist.qos)
    hands = node.create_publisher(keypoints.type, keypoints.name, keypoints.qos)
    seen = Reader(node, topics.operator_wrist("left"))
    loop = TeleopLoop(node, node.rig.teleop)

    def newest_ns():
        ns = time.time_ns()
        hands.publish(geometry.cloud(closed("left", 0.0), ns, "wrist"))
        wrists.publish(geometry.pose(np.eye(4), ns, "operator"))
        time.sleep(0.02)
        message = seen.newest()
        return convert.nanoseconds(message.header.stamp) if message else None

    with clock_set_back.running(loop.run):
        clock_set_back.stamps_follow(monkeypatch, newest_ns)
