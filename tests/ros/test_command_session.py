"""Who commands is told by numbers with names of their own, and no `frame_id` says anything."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import JointState

from xlvla.errors import XlvlaError
from xlvla.ros import convert, forms, topics
from xlvla.ros.command_session import (
    LARGEST,
    CommandMessage,
    Origin,
    new_session,
    take_origin,
)

NAMES = ["left_arm_joint1", "left_arm_joint2"]


def sent(origin: Origin, position=(0.1, 0.2)) -> JointState:
    """A command as it comes in."""
    data = serialize_message(CommandMessage(NAMES).fill(5, np.array(position), origin))
    return deserialize_message(data, JointState)


@pytest.mark.parametrize(
    "origin",
    [Origin(), Origin(new_session()), Origin(2**32 - 1, LARGEST), Origin(0, 1_000_000_001)],
)
def test_a_command_bears_its_session_and_its_reset_and_then_is_joints_alone(origin):
    message = sent(origin)
    assert message.header.frame_id == ""
    assert take_origin(message) == origin
    assert convert.by_name(message) == dict(zip(NAMES, [0.1, 0.2], strict=True))


def test_a_writer_that_names_neither_is_of_no_session_and_knows_of_no_reset():
    message = convert.JointMessage(NAMES).fill(5, np.array([0.1, 0.2]))
    message.header.frame_id = "12345678/episode 3"
    assert take_origin(message) == Origin()
    assert list(message.name) == NAMES


@pytest.mark.parametrize("number", [np.nan, np.inf, -1.0, 0.5, 1e300])
def test_a_session_that_is_no_whole_number_is_refused(number):
    message = convert.JointMessage([*NAMES, "session"]).fill(5, np.array([0.1, 0.2, number]))
    with pytest.raises(XlvlaError, match=r"its session is .* no whole number"):
        take_origin(message)


def test_sessions_differ():
    assert len({new_session() for _ in range(100)}) == 100


def test_a_reader_of_commands_gets_joints_in_the_order_of_the_rig():
    form = forms.commanded(NAMES[::-1], lambda: 5)
    data = serialize_message(sent(Origin(7, 9)))
    assert form(topics.command("left", "arm"), data).position.tolist() == [0.2, 0.1]


def test_every_source_has_a_topic_of_its_own():
    named = [topics.chunk("left", source).name for source in ("policy", "teleop", "replay")]
    every = [*named, topics.chunk("left").name, topics.relative_chunk("left").name]
    assert len(set(every)) == 5
    message = convert.trajectory(NAMES, np.zeros((3, 2)), 5, 20.0)
    assert message.header.frame_id == ""
