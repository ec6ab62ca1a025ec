"""A rig whose arm has a ROS driver of its own, from motion to an emulated controller."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Duration
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from xlvla import graph, rig_file
from xlvla.errors import XlvlaError
from xlvla.ros import convert, topics
from xlvla.ros.reader import Reader
from xlvla.ros.topics import RELIABLE
from xlvla.run import interruptible, own_domain
from xlvla_cli.ros.faults import FaultOrders
from xlvla_cli.ros.session import Session

WAIT_S = 60.0

EXAMPLE = Path(__file__).parents[2] / "examples" / "ros2_control" / "bench.yaml"

RIG = {
    "name": "test",
    "policy": None,
    "sim": None,
    "sides": {
        "left": {
            "arm": {"type": "ur5e", "device": {"emulated": True, "rate_hz": 100}},
            "hand": {"type": "none"},
        }
    },
}


def plan(names, start, end) -> JointTrajectory:
    """A trajectory as a planner writes it: no stamp, from time 0, with velocities."""
    message = JointTrajectory(joint_names=list(names))
    for share, milliseconds in ((0.0, 0), (0.5, 400), (1.0, 1200)):
        point = JointTrajectoryPoint(positions=(start + share * (end - start)).tolist())
        point.velocities = [0.0] * len(names)
        ns = milliseconds * 1_000_000
        point.time_from_start = Duration(sec=ns // 10**9, nanosec=ns % 10**9)
        message.points.append(point)
    return message


def test_a_planned_way_is_gone_by_an_arm_behind_a_controller_until_that_is_inactive():
    rig = rig_file.from_document(RIG, "test")
    names = rig.joint_names("left", "arm")
    home = np.array(list(rig.home("left").values()))
    wanted = home.copy()
    wanted[0] -= 0.2
    with interruptible(), Session(rig, domain=own_domain()) as session:
        operator = session.operator
        node = operator.node
        states = Reader(node, topics.joint_states("left", "arm"))
        chunk = topics.chunk("left")
        publisher = node.create_publisher(chunk.type, chunk.name, chunk.qos)

        def until(true, otherwise):
            give_up_s = time.monotonic() + WAIT_S
            while not true():
                assert time.monotonic() < give_up_s, f"{otherwise}: {operator.figures()}"
                session.supervisor.check()
                time.sleep(0.05)

        def pose():
            message = states.newest()
            return home if message is None else convert.positions(message, names)

        def engaged():
            with contextlib.suppress(XlvlaError):
                return operator.call(topics.ENGAGE, data=True)
            return ""

        until(engaged, "motion does not engage")
        until(lambda: publisher.get_subscription_count() > 0, "nobody hears chunks")
        time.sleep(0.5)  # the listener must have found the speaker, too
        publisher.publish(plan(names, home, wanted))
        until(lambda: np.abs(pose() - wanted).max() < 0.01, "the arm does not go where it was told")
        FaultOrders(node).order("left arm", "inactive", True)
        until(
            lambda: "is inactive" in operator.figures().get("motion", {}).get("", ""),
            "motion does not know that the controller is inactive",
        )
        with pytest.raises(XlvlaError, match="left arm: stopped: controller 'forward_position"):
            operator.call(topics.ENGAGE, data=True)


def test_a_hand_follows_commands_as_the_hardware_interface_of_ros2_control_sends_them():
    """Joint states of no session, at the controller manager's rate, without motion."""
    rig = rig_file.load(EXAMPLE)
    names = rig.joint_names("left", "hand")
    nodes = [spec for spec in graph.nodes(rig) if spec.name != "motion"]
    with interruptible(), Session(rig, nodes, domain=own_domain()) as session:
        node = session.operator.node
        states = Reader(node, topics.joint_states("left", "hand"))
        command = topics.command("left", "hand")
        publisher = node.create_publisher(command.type, command.name, RELIABLE)
        message = convert.JointMessage(names)
        place = np.zeros(len(names))
        give_up_s = time.monotonic() + WAIT_S
        while place[2] < 0.4:
            assert time.monotonic() < give_up_s
            session.supervisor.check()
            measured = states.newest()
            if measured is not None:
                place = convert.positions(measured, names)
            target = np.clip(place + 0.05, 0.0, 0.5)
            target[:2] = place[:2]
            publisher.publish(message.fill(time.time_ns(), target))
            time.sleep(0.01)
