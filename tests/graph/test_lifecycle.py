"""A node by itself: started, stopped and started again by a lifecycle manager."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import pytest

pytest.importorskip("rclpy")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from processes import until
from rcl_interfaces.srv import ListParameters, SetParameters
from rclpy.parameter import Parameter

from xlvla import graph, rig_file
from xlvla.ros import neighbours, supervision, topics
from xlvla.run import interruptible, own_domain
from xlvla_cli.ros.operator import Operator

LEADS_TO = {
    Transition.TRANSITION_CONFIGURE: "inactive",
    Transition.TRANSITION_CLEANUP: "unconfigured",
    Transition.TRANSITION_ACTIVATE: "active",
    Transition.TRANSITION_DEACTIVATE: "inactive",
}


@pytest.fixture
def waiting_node():
    """The simulation, told not to start itself."""
    with interruptible():
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(own_domain()),
            supervision.PARENT: str(os.getpid()),
        }
    command = [sys.executable, "-m", "xlvla_sim.nodes.sim", "--ros-args", "-p", "autostart:=false"]
    process = subprocess.Popen(command, env=environment)
    yield process
    process.terminate()
    assert process.wait(timeout=10) == 0


KINDS = (
    "bimanual joint_states",
    "bimanual motion",
    pytest.param("bimanual sim", marks=pytest.mark.long),
    pytest.param("bimanual policy", marks=pytest.mark.long),
    pytest.param("bimanual_emulated emulators", marks=pytest.mark.long),
    "bimanual_emulated left_arm",
    pytest.param("bimanual_emulated right_hand", marks=pytest.mark.long),
    pytest.param("bimanual_emulated mirror", marks=pytest.mark.long),
    pytest.param("teleop_scripted scripted_operator", marks=pytest.mark.long),
    pytest.param("teleop_scripted teleop", marks=pytest.mark.long),
    "teleop_scripted recorder",
)


@pytest.fixture
def unconfigured(request, tmp_path):
    """A node of a rig, told not to start itself, by its name."""
    rig_name, name = request.param.split()
    rig = rig_file.load(rig_name)
    if rig.recorder:
        rig = replace(rig, recorder=replace(rig.recorder, folder=str(tmp_path)))
    (spec,) = graph.chosen(rig, [name])
    with interruptible():
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(own_domain()),
            supervision.PARENT: str(os.getpid()),
        }
    command = [sys.executable, "-m", spec.module, "--ros-args", "-r", f"__node:={name}"]
    given = {**spec.params(str(rig.save(tmp_path / "rig.yaml"))), "autostart": False}
    for key, value in given.items():
        command += ["-p", f"{key}:={json.dumps(value)}"]
    process = subprocess.Popen(command, env=environment)
    yield name
    process.terminate()
    assert process.wait(timeout=20) == 0


def ends(operator: Operator, name: str) -> Counter[tuple[str, str]]:
    """How many publishers, subscriptions and services of a node there are, by topic."""
    node = operator.node
    found = Counter[tuple[str, str]]()
    for kind, names, infos in (
        (
            "publishes",
            node.get_publisher_names_and_types_by_node,
            node.get_publishers_info_by_topic,
        ),
        (
            "subscribes",
            node.get_subscriber_names_and_types_by_node,
            node.get_subscriptions_info_by_topic,
        ),
    ):
        for topic, _ in names(name, "/"):
            found[kind, topic] = sum(info.node_name == name for info in infos(topic))
    for service, _ in node.get_service_names_and_types_by_node(name, "/"):
        found["provides", service] = 1
    return found


def settled(operator: Operator, name: str) -> Counter[tuple[str, str]]:
    """What a node has once nothing more is discovered of it."""
    while True:
        before = ends(operator, name)
        time.sleep(0.5)
        if ends(operator, name) == before:
            return before


@pytest.mark.parametrize("unconfigured", KINDS, indirect=True)
def test_a_node_can_be_configured_three_times_and_is_then_what_it_was(unconfigured):
    name = unconfigured
    up_and_down = (
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
    )
    with Operator(domain=own_domain()) as operator:
        assert state(operator, name) == "unconfigured"
        until(lambda: f"/{name}" in neighbours.present(operator.node), "not discovered")
        bare = ends(operator, name)
        # rclpy's own, which a configured node reads itself
        bare.pop(("subscribes", "/clock"), None)
        once = None
        for _ in range(3):
            for transition in up_and_down:
                assert change(operator, transition, name), transition
                if once is None:
                    once = settled(operator, name)
            until(lambda: ends(operator, name) == bare, "something is left in the graph")
        assert change(operator, Transition.TRANSITION_CONFIGURE, name)
        assert once is not None and len(once) > len(bare)
        until(lambda: ends(operator, name) == once, "it is not what it was at first")
        listed = ask(operator, f"/{name}/list_parameters", ListParameters).result.names
        assert "use_sim_time" in listed


def ask(operator: Operator, name: str, kind, **fields):
    """The answer of any service."""
    client = operator.prepare(topics.Service(name, kind))
    return operator.ask(client, kind.Request(**fields))


def state(operator: Operator, node: str = "sim") -> str:
    return ask(operator, f"/{node}/get_state", GetState).current_state.label


def change(operator: Operator, transition: int, node: str = "sim") -> bool:
    """Whether a node is in the state that a transition leads to, after it was asked for it.

    The answer itself does not say: when it is lost, the node is asked again for what it has done.
    """
    ask(operator, f"/{node}/change_state", ChangeState, transition=Transition(id=transition))
    return state(operator, node) == LEADS_TO[transition]


def steps(operator: Operator) -> bool:
    """Whether simulated time passes within 3 s."""
    before = operator.status().get("time_s")
    give_up = time.monotonic() + 3.0
    while time.monotonic() < give_up:
        now = operator.status().get("time_s")
        if now is not None and before is not None and now != before:
            return True
        before = now
        time.sleep(0.05)
    return False


def test_a_node_waits_for_its_lifecycle_manager_and_can_be_stopped_and_started_again(waiting_node):
    with Operator(domain=own_domain()) as operator:
        assert state(operator) == "unconfigured"
        assert change(operator, Transition.TRANSITION_CONFIGURE)
        assert change(operator, Transition.TRANSITION_ACTIVATE)
        assert state(operator) == "active"
        assert steps(operator)
        assert change(operator, Transition.TRANSITION_DEACTIVATE)
        assert not steps(operator)
        assert change(operator, Transition.TRANSITION_ACTIVATE)
        assert steps(operator)


def test_the_rig_of_a_node_cannot_be_changed_while_it_runs(waiting_node):
    with Operator(domain=own_domain()) as operator:
        other = Parameter("rig", value="other").to_parameter_msg()
        answer = ask(operator, "/sim/set_parameters", SetParameters, parameters=[other])
        assert not answer.results[0].successful
