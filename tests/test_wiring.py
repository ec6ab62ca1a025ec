"""What `xlvla show` says of the graph, against the graph that runs."""

import os
import time
from dataclasses import replace

import pytest

rclpy = pytest.importorskip("rclpy")

import retries
from xlvla import rig_file
from xlvla.graph import nodes, within
from xlvla.ros import topics
from xlvla.ros.wiring import type_name, wiring
from xlvla.run import Supervisor
from xlvla.security import OPERATOR, enclave
from xlvla_cli.ros.access import GRAPH, access
from xlvla_cli.ros.controls import Controls
from xlvla_cli.ros.episode_player import Replayer
from xlvla_cli.ros.faults import FaultOrders
from xlvla_cli.ros.measure import Measure
from xlvla_cli.ros.operator import Operator
from xlvla_cli.ros.remote_nodes import RemoteNodes

DOMAIN = 215 + os.getpid() % 16  # apart from the domain of the session's other graphs
OF_ROS_ITSELF = ("rcl_interfaces/", "lifecycle_msgs/", "type_description_interfaces/")
ONE_SIDE = "one side of bimanual_emulated"


def one_side_emulated():
    """The drivers of an arm and its hand, and what every rig with devices has, without a policy; in
    a namespace.
    """
    rig = rig_file.load("bimanual_emulated")
    rig = rig_file.with_choices(rig, policy="none", namespace="lab/right")
    return replace(rig, sides={"right": rig.sides["right"]})


@pytest.fixture(
    scope="module",
    params=[
        "bimanual",
        ONE_SIDE,
        pytest.param("bimanual_emulated", marks=pytest.mark.long),
        "teleop_scripted",
        "teleop_keyboard",
    ],
)
@retries.once_more
def probe(request, tmp_path_factory):
    """A ROS node beside the running graph of a rig."""
    rig = one_side_emulated() if request.param == ONE_SIDE else rig_file.load(request.param)
    if rig.recorder:
        rig = replace(
            rig, recorder=replace(rig.recorder, folder=str(tmp_path_factory.mktemp("recordings")))
        )
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    with Supervisor(rig, nodes(rig), domain=DOMAIN) as supervisor:
        supervisor.wait_ready()
        node = rclpy.create_node("probe", context=context)
        yield rig, node
        node.destroy_node()
    rclpy.shutdown(context=context)


def own(entries):
    """(name, type) of what the project added to parameters, lifecycle and log."""
    return {(name, types[0]) for name, types in entries if not types[0].startswith(OF_ROS_ITSELF)}


def named(rig, entries):
    return {(within(rig.namespace) + entry.name, type_name(entry)) for entry in entries}


def agree(rig, node):
    """The first difference between what is told and what runs; None where there is none."""
    place = within(rig.namespace) or "/"
    for name, description in wiring(rig).items():
        seen = (
            own(node.get_publisher_names_and_types_by_node(name, place)),
            own(node.get_subscriber_names_and_types_by_node(name, place)),
            own(node.get_service_names_and_types_by_node(name, place)),
            own(node.get_client_names_and_types_by_node(name, place)),
        )
        every = (
            description.publishes,
            description.subscribes,
            description.provides,
            description.calls,
        )
        for what, there, here in zip(
            ("publishes", "subscribes", "provides", "calls"), seen, every, strict=True
        ):
            told = named(rig, here)
            if there != told:
                return (
                    f"{name} {what}: only running {sorted(there - told)}, only told "
                    f"{sorted(told - there)}"
                )
    return None


def test_show_prints_exactly_what_the_running_nodes_publish_subscribe_provide_and_call(probe):
    rig, node = probe
    give_up = time.monotonic() + 20  # discovery takes a moment
    while (difference := discovered(rig, node)) and time.monotonic() < give_up:
        time.sleep(0.2)
    assert difference is None


def test_permissions_cover_exactly_what_the_running_nodes_publish_and_subscribe(probe):
    rig, node = probe
    allowed = access(rig)
    give_up = time.monotonic() + 20
    while (
        difference := discovered(rig, node, lambda rig, node: unlike(rig, node, allowed))
    ) and time.monotonic() < give_up:
        time.sleep(0.2)
    assert difference is None
    assert set(allowed) - {enclave(rig, spec.name) for spec in nodes(rig)} == {
        enclave(rig, OPERATOR)
    }


def unlike(rig, node, allowed):
    """The first difference between what a node may and what it does; None where there is none."""
    place = within(rig.namespace) or "/"
    for spec in nodes(rig):
        may = allowed[enclave(rig, spec.name)]
        publishes = dict(
            node.get_publisher_names_and_types_by_node(spec.name, place, no_demangle=True)
        )
        subscribes = dict(
            node.get_subscriber_names_and_types_by_node(spec.name, place, no_demangle=True)
        )
        for what, does, description in (
            ("publish", set(publishes), may.publish),
            ("subscribe", set(subscribes), may.subscribe),
        ):
            if does != description - {GRAPH}:
                return (
                    f"{spec.name} {what}: only running {sorted(does - description)}, only allowed "
                    f"{sorted(description - does)}"
                )
    return None


def test_the_operator_may_do_all_that_the_commands_beside_a_running_rig_do(probe):
    rig, _ = probe
    may = access(rig)[enclave(rig, OPERATOR)]
    with Operator(domain=DOMAIN, namespace=rig.namespace, record=True) as operator:
        watching = [
            Controls(operator, rig),
            Measure(operator.node, rig),
            RemoteNodes(operator.node, [], False),
        ]
        watching += [Replayer(operator, rig), FaultOrders(operator.node)]
        for service in (
            topics.SIM_RESET,
            topics.RECORDER_START,
            *(topics.recover(*key) for key in rig.parts),
        ):
            if any(service in wire.provides for wire in wiring(rig).values()):
                operator.prepare(service)
        place = within(rig.namespace) or "/"
        node = operator.node
        publishes = dict(
            node.get_publisher_names_and_types_by_node("operator", place, no_demangle=True)
        )
        subscribes = dict(
            node.get_subscriber_names_and_types_by_node("operator", place, no_demangle=True)
        )
        assert len(watching) == 5
    assert set(publishes) - may.publish == set()
    assert set(subscribes) - may.subscribe == set()
    assert not {name for name in may.publish if name.startswith("rt/") and name.endswith("command")}


def discovered(rig, node, agree=agree):
    try:
        return agree(rig, node)
    except rclpy.node.NodeNameNonExistentError as error:
        return str(error)
