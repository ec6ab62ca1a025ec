"""Two rigs on one domain, and strangers who command: real processes, each with its own ROS
context.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

rclpy = pytest.importorskip("rclpy")

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla.graph import NodeSpec
from xlvla.ros import neighbours, supervision, topics
from xlvla.run import NodeDied, Supervisor, interruptible

DOMAIN = 1 + (os.getpid() + 40) % 100
WAIT_S = 60.0


def until(true, otherwise):
    give_up = time.monotonic() + WAIT_S
    while not (value := true()):
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.02)
    return value


@pytest.fixture
def node():
    """A node named as the rig's motion is."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    made = rclpy.create_node("motion", context=context)
    yield made
    made.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def other():
    """Starts a process with a node of its own: `other(name, code that has the node)`."""
    started = []

    def start(name, code=""):
        script = (
            "import rclpy, time\nrclpy.init()\nnode = "
            f"rclpy.create_node({name!r})\n{code}\nprint('up', flush=True)\ntime.sleep(60)"
        )
        environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN)}
        process = subprocess.Popen(
            [sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "up\n"
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


WRITES = (
    "from sensor_msgs.msg import JointState\npublisher = node.create_publisher(JointState, "
    f"{topics.command('left', 'arm').name!r}, 1)"
)


def test_another_publisher_of_commands_is_named(node, other):
    rig = rig_file.load("bimanual")
    own = topics.command("left", "arm")
    publisher = node.create_publisher(own.type, own.name, own.qos)
    beside = neighbours.Neighbours(node, rig)
    assert beside.writers() == [] and beside.line() == ""
    other("stranger", WRITES)
    until(lambda: beside.writers() == ["/stranger"], f"it is not found: {beside.writers()}")
    assert (
        "second writer of commands: /stranger" in beside.line()
        and "another ROS_DOMAIN_ID" in beside.line()
    )
    assert neighbours.second_writer(node, own) == "second writer: /stranger"
    node.destroy_publisher(publisher)


def test_another_motion_is_found_by_its_name_and_as_a_writer(node, other):
    beside = neighbours.Neighbours(node, rig_file.load("bimanual"))
    assert beside.doubles() == []
    other("motion", WRITES)
    until(lambda: beside.doubles() == ["/motion"], "the other one is not found")
    until(lambda: beside.writers() == ["/motion"], "its command is not found")
    assert "running twice: /motion" in beside.line()


def test_a_motion_that_was_killed_is_no_neighbour_of_the_next_one(node, other):
    killed = other("motion", WRITES)
    until(lambda: neighbours.present(node)["/motion"] == 2, "the other one is not found")
    killed.kill()
    killed.wait()
    beside = neighbours.Neighbours(node, rig_file.load("bimanual"))
    for _ in range(10):
        assert beside.line() == ""
        time.sleep(0.1)
    other("motion", WRITES)
    until(
        lambda: beside.doubles() == ["/motion"] and beside.writers() == ["/motion"],
        "a third one is not found",
    )


def test_nodes_of_other_names_are_nobody_elses_business(node, other):
    other("bystander")
    beside = neighbours.Neighbours(node, rig_file.load("bimanual"))
    until(lambda: neighbours.present(node)["/bystander"], "it is not found")
    assert beside.line() == ""


def test_a_namesake_in_the_network_that_says_nothing_is_taken_for_ended(node, other, monkeypatch):
    other("motion")
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    until(lambda: neighbours.present(node)["/motion"] == 2, "the other one is not found")
    began = time.monotonic()
    assert neighbours.refuse_namesake(node)
    assert time.monotonic() - began < neighbours.SPEAKS_S + 2.0


REPORTS = """
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
node.create_timer(0.5, lambda:
publisher.publish(DiagnosticArray(status=[DiagnosticStatus(name="motion")])))
print("up", flush=True)
rclpy.spin(node)"""


def test_a_namesake_in_the_network_that_reports_on_itself_is_refused(node, other, monkeypatch):
    other("motion", REPORTS)
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    with pytest.raises(XlvlaError, match="a node /motion already runs"):
        neighbours.refuse_namesake(node)


def test_a_second_rig_on_the_same_domain_is_refused_and_the_first_goes_on():
    rig = rig_file.with_choices(rig_file.load("bimanual"), policy="none")
    specs = [NodeSpec("xlvla_drivers", "motion", "motion")]
    said = []
    with (
        interruptible(),
        Supervisor(
            rig, specs, domain=DOMAIN, listener=lambda name, line: said.append(line)
        ) as first,
    ):
        first.wait_ready()
        with Supervisor(rig, specs, domain=DOMAIN) as second, pytest.raises(NodeDied) as died:
            second.wait_ready()
        time.sleep(2.0)  # motion looks for namesakes once a second
        assert not [line for line in said if "running twice" in line], "it was disengaged"
        assert f"a node /motion already runs on ROS domain {DOMAIN}" in str(died.value)
        assert "another ROS_DOMAIN_ID" in str(died.value) and died.value.code == 1
        first.check()


def test_a_node_that_is_named_tells_of_a_wrong_domain_in_one_line():
    done = subprocess.run(
        [sys.executable, "-m", "xlvla_sim.nodes.sim", "--ros-args", "-r", "__node:=sim"],
        env={**os.environ, "ROS_DOMAIN_ID": "front", supervision.PARENT: str(os.getpid())},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "sim: ROS_DOMAIN_ID is 'front': it must be a whole number" in done.stderr


def test_a_rig_that_was_killed_does_not_keep_the_next_one_from_starting():
    rig = rig_file.with_choices(rig_file.load("bimanual"), policy="none")
    specs = [NodeSpec("xlvla_drivers", "motion", "motion")]
    with interruptible(), Supervisor(rig, specs, domain=DOMAIN) as first:
        first.wait_ready()
        first.nodes[0].kill(signal.SIGKILL)
        first.nodes[0].process.wait()
        with Supervisor(rig, specs, domain=DOMAIN) as second:
            second.wait_ready()


def test_a_node_started_by_itself_finds_its_namesake_too():
    """As `ros2 launch` and `ros2 run` start it."""
    rig = rig_file.with_choices(rig_file.load("bimanual"), policy="none")
    with (
        interruptible(),
        Supervisor(rig, [NodeSpec("xlvla_sim", "sim", "sim")], domain=DOMAIN) as first,
    ):
        first.wait_ready()
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(DOMAIN),
            supervision.PARENT: str(os.getpid()),
        }
        alone = subprocess.run(
            [sys.executable, "-m", "xlvla_sim.nodes.sim"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert alone.returncode == 1 and "a node /sim already runs" in alone.stderr
        assert "Traceback" not in alone.stderr
