"""What is known of where a side is."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy

from xlvla import rig_file
from xlvla.ros import convert, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.measured import Measured
from xlvla.run import own_domain
from xlvla.types import PARTS


@pytest.fixture
def node():
    rclpy.init(domain_id=own_domain())
    made = rclpy.create_node("looker")
    yield made
    made.destroy_node()
    rclpy.shutdown()


def test_a_pose_from_before_the_clock_was_set_back_is_not_fresh(node):
    rig = rig_file.load("bimanual_emulated")
    measured = Measured(node, rig, "left")
    now_ns = time.time_ns()
    for part in PARTS:
        topic = topics.joint_states("left", part)
        names = rig.joint_names("left", part)
        publisher = node.create_publisher(topic.type, topic.name, topic.qos)
        publisher.publish(convert.JointMessage(names).fill(now_ns, np.zeros(len(names))))
    give_up_s = time.monotonic() + 20
    while measured.pose(now_ns, 0) is None:
        assert time.monotonic() < give_up_s, "the joint states do not come"
        time.sleep(0.01)
    assert measured.pose(now_ns - 3600 * SECOND, 0) is None
    assert measured.pose(now_ns + 3600 * SECOND, 0) is None
    assert measured.pose(now_ns, 0) is not None
