"""Teleoperation when the system's clock is set back: its loop in this process, its operator on
topics.
"""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy

from xlvla import rig_file
from xlvla.ros import convert, geometry, topics
from xlvla.ros.clock import Clock
from xlvla.ros.convert import SECOND
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.run import own_domain
from xlvla_drivers.ros.teleop_loop import TeleopLoop
from xlvla_drivers.teleop.closing import closed

PATIENCE_S = 20.0
HOUR_NS = 3600 * SECOND


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
    end = threading.Event()
    loop = threading.Thread(target=TeleopLoop(node, node.rig.teleop).run, args=(end,))
    loop.start()

    def until_seen_within(since_ns, to_ns):
        give_up_s = time.monotonic() + PATIENCE_S
        while True:
            assert time.monotonic() < give_up_s, "the operator is not seen at that time"
            ns = time.time_ns()
            hands.publish(geometry.cloud(closed("left", 0.0), ns, "wrist"))
            wrists.publish(geometry.pose(np.eye(4), ns, "operator"))
            time.sleep(0.02)
            message = seen.newest()
            if message and since_ns <= convert.nanoseconds(message.header.stamp) <= to_ns:
                return

    began_ns = time.time_ns()
    try:
        until_seen_within(began_ns, began_ns + HOUR_NS)
        really_ns = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: really_ns() - HOUR_NS)
        until_seen_within(began_ns - HOUR_NS, began_ns - HOUR_NS // 2)
    finally:
        end.set()
        loop.join()
