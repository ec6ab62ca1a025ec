"""What is known of where a side is, and what a policy knows of it, when the clock is set back."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy

from xlvla import rig_file
from xlvla.ros import convert, refusals, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.measured import Measured
from xlvla.ros.node import RigNode
from xlvla.run import own_domain
from xlvla.types import PARTS
from xlvla_policy.ros.observer import NotYet, PartState

HOUR_NS = 3600 * SECOND


@pytest.fixture
def node():
    rclpy.init(domain_id=own_domain())
    made = RigNode("looker")
    made.rig = rig_file.load("bimanual_emulated")
    yield made
    made.destroy_node()
    rclpy.shutdown()


def publishers_of(node, topic_of):
    """Publishers for the parts of the left side, with the names of their joints."""
    made = []
    for part in PARTS:
        topic = topic_of("left", part)
        publisher = node.create_publisher(topic.type, topic.name, topic.qos)
        made.append((publisher, node.rig.joint_names("left", part)))
    return made


def until(true, otherwise):
    give_up_s = time.monotonic() + 20
    while not true():
        assert time.monotonic() < give_up_s, otherwise
        time.sleep(0.01)


def test_a_pose_from_before_the_clock_was_set_back_is_not_fresh(node):
    measured = Measured(node, node.rig, "left")
    now_ns = time.time_ns()
    for publisher, names in publishers_of(node, topics.joint_states):
        publisher.publish(convert.JointMessage(names).fill(now_ns, np.zeros(len(names))))
    until(lambda: measured.pose(now_ns, 0) is not None, "the joint states do not come")
    assert measured.pose(now_ns - HOUR_NS, 0) is None
    assert measured.pose(now_ns + HOUR_NS, 0) is None
    assert measured.pose(now_ns, 0) is not None


class Policy:
    """What is asked of a policy here."""

    frames = 4
    rate_hz = 20.0


def test_a_policy_sees_commands_and_poses_from_after_the_clock_was_set_back_alone(node):
    arm = PartState(node, Policy, "left", "arm")
    (commands, names), _ = publishers_of(node, topics.command)
    (states, _), _ = publishers_of(node, topics.joint_states)
    state = convert.JointMessage(names)
    command = convert.JointMessage(names)

    def executed(now_ns, position):
        """What is seen at a time once this was measured and commanded then."""
        states.publish(state.fill(now_ns, position))
        commands.publish(command.fill(now_ns, position))

        def comes():
            arm.listen(lambda: now_ns, 0, 0)
            try:
                seen = arm.executed(now_ns, arm.measured(lambda: now_ns, now_ns - SECOND))
            except NotYet:
                return False
            return np.allclose(seen[-1], position)

        until(comes, "the command is not seen")

    now_ns = time.time_ns()
    executed(now_ns, np.zeros(len(names)))
    with pytest.raises(NotYet):
        arm.measured(lambda: now_ns - HOUR_NS, now_ns - HOUR_NS - SECOND)
    executed(now_ns - HOUR_NS, np.ones(len(names)))


def test_commands_that_come_while_a_policy_waits_for_the_processor_are_not_of_the_future(node):
    arm = PartState(node, Policy, "left", "arm")
    (commands, names), _ = publishers_of(node, topics.command)
    (states, _), _ = publishers_of(node, topics.joint_states)
    began_ns = time.time_ns()
    later_ns = began_ns + 2 * SECOND
    commands.publish(convert.JointMessage(names).fill(later_ns, np.ones(len(names))))
    states.publish(convert.JointMessage(names).fill(later_ns, np.zeros(len(names))))

    def clock_of_one_look():
        """Two seconds pass between the beginning of a look and its first message."""
        times = itertools.chain([began_ns], itertools.repeat(later_ns))
        return lambda: next(times)

    def comes():
        arm.listen(clock_of_one_look(), 0, 0)
        try:
            seen = arm.executed(later_ns, arm.measured(lambda: later_ns, began_ns))
        except NotYet:
            return False
        return np.allclose(seen[-1], 1.0)

    until(comes, "the command is not seen")
    assert not refusals.of(node).counts
