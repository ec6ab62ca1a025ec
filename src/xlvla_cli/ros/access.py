"""Who may publish and subscribe what in a rig's graph, in the names DDS knows: what `xlvla secure`
signs.

Everything follows from the description of the graph (`xlvla.ros.wiring`), and what ROS gives every
node from asking one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import rclpy
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode
from rclpy.signals import SignalHandlerOptions

from xlvla.graph import nodes
from xlvla.rig import Rig
from xlvla.ros import wiring
from xlvla.ros.topics import Service, Topic
from xlvla.ros.wiring import Wiring
from xlvla.security import OPERATOR, TRACKER, enclave

GRAPH = "ros_discovery_info"
"""How the participants of a graph tell each other which nodes they are; a name of the middleware's.
"""

_ASKED = "asked"


@dataclass(frozen=True)
class Access:
    """DDS topics that one participant may publish and subscribe."""

    publish: frozenset[str]
    subscribe: frozenset[str]


def access(rig: Rig) -> dict[str, Access]:
    """By enclave: every node of a rig, its operator, and a tracker of its own where it has one."""
    wires = {
        spec.label.lstrip("/"): wire
        for spec, wire in zip(nodes(rig), wiring.wiring(rig).values(), strict=True)
    }
    wires[OPERATOR] = wiring.operator(rig)
    if outside := wiring.trackers(rig):
        wires[TRACKER] = Wiring(publishes=outside)
    of_every_node = _of_ros()
    return {
        enclave(rig, name): _access(wire, _named(of_every_node, name))
        for name, wire in wires.items()
    }


def dds_names(wire: Wiring) -> Access:
    """What a node's own topics and services are in DDS."""
    publishes = _names("rt{}", wire.publishes)
    subscribes = _names("rt{}", wire.subscribes)
    answered = _names("rq{}Request", wire.provides)
    asked = _names("rr{}Reply", wire.calls)
    return Access(
        publishes | _names("rr{}Reply", wire.provides) | _names("rq{}Request", wire.calls),
        subscribes | answered | asked,
    )


def _names(pattern: str, entries: Iterable[Topic | Service]) -> frozenset[str]:
    return frozenset(pattern.format(entry.name) for entry in entries)


def _access(wire: Wiring, of_ros: Access) -> Access:
    own = dds_names(wire)
    return Access(
        own.publish | of_ros.publish | {GRAPH}, own.subscribe | of_ros.subscribe | {GRAPH}
    )


def _named(of_ros: Access, name: str) -> Access:
    """What a node of that name has of ROS."""
    return Access(*(_renamed(names, name) for names in (of_ros.publish, of_ros.subscribe)))


def _renamed(names: Iterable[str], name: str) -> frozenset[str]:
    return frozenset(entry.replace(f"/{_ASKED}/", f"/{name}/") for entry in names)


@cache
def _of_ros() -> Access:
    """What a lifecycle node that does nothing publishes and subscribes: parameters, states, log.

    Asked once: a second node of the name would find the log's publisher taken by the first.
    """
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = LifecycleNode(_ASKED, context=context)
    try:
        publish = node.get_publisher_names_and_types_by_node(_ASKED, "/", no_demangle=True)
        subscribe = node.get_subscriber_names_and_types_by_node(_ASKED, "/", no_demangle=True)
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
    return Access(frozenset(name for name, _ in publish), frozenset(name for name, _ in subscribe))
