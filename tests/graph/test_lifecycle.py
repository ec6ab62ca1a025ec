"""A node by itself: started, stopped and started again by a lifecycle manager."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

pytest.importorskip("rclpy")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter

from xlvla.ros import supervision, topics
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
