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
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter

from xlvla.ros import supervision
from xlvla.run import interruptible, own_domain
from xlvla_cli.ros.operator import Operator


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


def ask(operator: Operator, kind, name: str, request):
    """The answer of any service."""
    client = operator.node.create_client(kind, name)
    assert client.wait_for_service(20.0), f"no node provides {name}"
    executor = SingleThreadedExecutor(context=operator.node.context)
    executor.add_node(operator.node)
    answer = client.call_async(request)
    executor.spin_until_future_complete(answer, 20.0)
    executor.remove_node(operator.node)
    return answer.result()


def change(operator: Operator, transition: int) -> bool:
    return ask(
        operator,
        ChangeState,
        "/sim/change_state",
        ChangeState.Request(transition=Transition(id=transition)),
    ).success


def state(operator: Operator) -> str:
    return ask(operator, GetState, "/sim/get_state", GetState.Request()).current_state.label


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
        operator.node.executor.remove_node(operator.node)
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
        operator.node.executor.remove_node(operator.node)
        request = SetParameters.Request(
            parameters=[Parameter("rig", value="other").to_parameter_msg()]
        )
        assert (
            not ask(operator, SetParameters, "/sim/set_parameters", request).results[0].successful
        )
