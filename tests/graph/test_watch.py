"""`xlvla watch` shows whatever is published, by whomever, as text."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import threading

import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header, String
from visualization_msgs.msg import Marker, MarkerArray

from xlvla.errors import XlvlaError
from xlvla.ros import participant, topics
from xlvla.run import own_domain
from xlvla_cli import watch
from xlvla_cli.ros.topic_viewer import lines, message_type

app = typer.Typer()
watch.register(app)
app.command("other")(lambda: None)  # with one command alone its name is left out

JOINTS = ["left_arm_joint1", "left_arm_joint2"]
STATUS = 'engaged \x1b[2J"'
EVERY_S = 0.02


@pytest.fixture(scope="module", autouse=True)
def publishers():
    """A node with joint states as drivers publish them, a status that is said once, and a topic
    that is published as two types.
    """
    nodes = [participant.node_of_its_own(name, own_domain()) for name in ("talker", "other")]
    node = nodes[0]
    arm = topics.joint_states("left", "arm")
    states = node.create_publisher(arm.type, arm.name, arm.qos)
    status = node.create_publisher(String, "/lab/status", topics.LATCHED)
    status.publish(String(data=STATUS))
    for one, kind in zip(nodes, (String, Header), strict=True):
        one.create_publisher(kind, "/lab/two_types", topics.LATCHED).publish(kind())
    ended = threading.Event()

    def publish() -> None:
        while not ended.wait(EVERY_S):
            states.publish(JointState(name=JOINTS, position=[0.5, -0.25]))

    thread = threading.Thread(target=publish)
    thread.start()
    yield
    ended.set()
    thread.join()
    for node in nodes:
        participant.leave(node)


def shown(*words: str) -> str:
    done = CliRunner().invoke(app, ["watch", *words, "--domain", str(own_domain())])
    if isinstance(done.exception, XlvlaError):
        return str(done.exception)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_message_is_shown_by_the_names_of_its_fields():
    first, *rest = shown("left/arm/joint_states", "--once").splitlines()
    assert first.startswith("/left/arm/joint_states  sent ")
    assert rest[-4:] == [
        "  name: [left_arm_joint1, left_arm_joint2]",
        "  position: [0.5, -0.25]",
        "  velocity: []",
        "  effort: []",
    ]


def test_what_was_said_before_is_shown_and_moves_no_cursor():
    heading, text = shown("/lab/status", "--once").splitlines()
    assert text == '  data: engaged \\x1b[2J"'
    # It was kept, and not on its way since.
    assert heading.endswith("before this began")


def test_a_viewer_is_nobody_who_publishes():
    alone = 1 + own_domain() % 100
    for words in ([], ["motion/status"]):
        done = CliRunner().invoke(app, ["watch", *words, "--domain", str(alone)])
        assert f"nothing is published on ROS domain {alone}" in str(done.exception)
    assert "topic_viewer" not in shown()


def test_a_byte_is_a_number():
    assert "level: 2" in list(lines(DiagnosticStatus(level=DiagnosticStatus.ERROR)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whatever_signal_ends_it_it_ends_in_order(number):
    command = [sys.executable, "-m", "xlvla", "watch", "left/arm/joint_states"]
    process = subprocess.Popen(
        [*command, "--domain", str(own_domain())], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130 and b"Traceback" not in said


def test_how_often_messages_come_is_counted():
    words = shown("left/arm/joint_states", "--rate", "--once").split()
    assert words[1] == "Hz" and 1 <= int(words[0]) <= 1.2 / EVERY_S


def test_without_a_topic_all_are_listed_with_who_publishes_them():
    row = next(line for line in shown().splitlines() if "/left/arm/joint_states" in line)
    assert row.split() == ["/left/arm/joint_states", "sensor_msgs/JointState", "/talker"]


def test_a_topic_that_cannot_be_shown_is_one_line():
    assert shown("left/arm/joint_state", "--once").endswith(
        "did you mean '/left/arm/joint_states'?"
    )
    assert shown("lab/two_types", "--once").endswith("two programs disagree")


@pytest.mark.parametrize(
    "name", ["os/msg/path", "lab_msgs/msg/Grip", "std_msgs/msg/Strin", "", "a.b"]
)
def test_only_a_package_of_messages_is_imported_for_the_name_of_a_type(name):
    with pytest.raises(XlvlaError, match="not installed here"):
        message_type(name)


def test_a_type_that_bears_the_name_of_the_program_itself_is_not_installed(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)  # as of an installed command
    with pytest.raises(XlvlaError, match="not installed here"):
        message_type("__main__/msg/String")


def test_what_is_long_is_cut_and_counted():
    assert list(lines(Image(data=[7] * 100)))[-1] == f"data: [{', '.join(['7'] * 40)}, and 60 more]"
    markers = MarkerArray(markers=[Marker(ns="chunk", id=7)] * 25)
    text = list(lines(markers))
    assert text[-1] == "markers: 5 more" and "markers[19]:" in text
    assert "  ns: chunk" in text and "      x: 0" in text


def test_numbers_that_are_none_are_shown_too():
    assert "position: [nan, inf]" in list(lines(JointState(position=[math.nan, math.inf])))
