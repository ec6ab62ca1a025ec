"""What `xlvla show` says of the graph, against the graph that runs."""

import os
import time
from dataclasses import replace

import pytest

rclpy = pytest.importorskip("rclpy")

from xlvla import rig as rigs
from xlvla.graph import nodes
from xlvla.ros.wiring import type_name, wiring
from xlvla.run import Supervisor

DOMAIN = 215 + os.getpid() % 16  # apart from the domain of the session's other graphs
OF_ROS_ITSELF = ("rcl_interfaces/", "lifecycle_msgs/", "type_description_interfaces/")


@pytest.fixture(scope="module", params=["bimanual", "bimanual_emulated", "teleop_scripted", "teleop_keyboard"])
def probe(request, tmp_path_factory):
    """A ROS node beside the running graph of a rig."""
    rig = rigs.load(request.param)
    if rig.recorder:
        rig = replace(rig, recorder=replace(rig.recorder, folder=str(tmp_path_factory.mktemp("recordings"))))
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


def named(entries):
    return {(entry.name, type_name(entry)) for entry in entries}


def agree(rig, node):
    """The first difference between what is told and what runs; None where there is none."""
    for name, told in wiring(rig).items():
        seen = (
            own(node.get_publisher_names_and_types_by_node(name, "/")),
            own(node.get_subscriber_names_and_types_by_node(name, "/")),
            own(node.get_service_names_and_types_by_node(name, "/")),
        )
        for what, there, here in zip(("says", "hears", "serves"), seen, (told.says, told.hears, told.serves), strict=True):
            if there != named(here):
                return f"{name} {what}: only running {sorted(there - named(here))}, only told {sorted(named(here) - there)}"
    return None


def test_show_tells_exactly_what_the_running_nodes_say_hear_and_serve(probe):
    rig, node = probe
    give_up = time.monotonic() + 20  # discovery takes a moment
    while (difference := discovered(rig, node)) and time.monotonic() < give_up:
        time.sleep(0.2)
    assert difference is None


def discovered(rig, node):
    try:
        return agree(rig, node)
    except rclpy.node.NodeNameNonExistentError as error:
        return str(error)
