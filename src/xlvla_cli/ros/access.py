"""Which topics every participant of a rig's graph may publish and subscribe, in the names of DDS:
what `xlvla secure` signs.

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

from xlvla.graph import nodes, within
from xlvla.rig import Rig
from xlvla.ros import wiring
from xlvla.ros.topics import Service, Topic
from xlvla.ros.wiring import Wiring
from xlvla.security import OPERATOR, TRACKER, enclave

GRAPH = "ros_discovery_info"
"""The topic on which participants announce their nodes; a name of the middleware's."""

_ASKED = "asked"
"""Name of the node that is asked what ROS gives every node."""


@dataclass(frozen=True)
class Access:
    """DDS topics that one participant may publish and subscribe."""

    publish: frozenset[str]
    subscribe: frozenset[str]


def access(rig: Rig) -> dict[str, Access]:
    """By enclave: every node of a rig, its operator, and a tracker of its own where it has one."""
    wires: dict[str, Wiring] = {}
    for spec, wire in zip(nodes(rig), wiring.wiring(rig).values(), strict=True):
        wires[spec.name] = wire
    wires[OPERATOR] = wiring.operator(rig)
    if outside := wiring.trackers(rig):
        wires[TRACKER] = Wiring(publishes=outside)
    of_every_node = _of_ros()
    place = within(rig.namespace)
    entries: dict[str, Access] = {}
    for name, wire in wires.items():
        own = dds_names(wire, place)
        entries[enclave(rig, name)] = _access(own, _named(of_every_node, f"{place}/{name}"))
    return entries


def dds_names(wire: Wiring, place: str = "") -> Access:
    """What a node's own topics and services are in DDS; `place` as of `xlvla.graph.within`."""
    # A service is two topics: its provider publishes the replies, its caller the requests.
    publish = _names(f"rt{place}{{}}", wire.publishes)
    publish |= _names(f"rr{place}{{}}Reply", wire.provides)
    publish |= _names(f"rq{place}{{}}Request", wire.calls)
    subscribe = _names(f"rt{place}{{}}", wire.subscribes)
    subscribe |= _names(f"rq{place}{{}}Request", wire.provides)
    subscribe |= _names(f"rr{place}{{}}Reply", wire.calls)
    return Access(publish, subscribe)


def _names(pattern: str, entries: Iterable[Topic | Service]) -> frozenset[str]:
    return frozenset(pattern.format(entry.name) for entry in entries)


def _access(own: Access, of_ros: Access) -> Access:
    publish = own.publish | of_ros.publish | {GRAPH}
    subscribe = own.subscribe | of_ros.subscribe | {GRAPH}
    return Access(publish, subscribe)


def _named(of_ros: Access, full_name: str) -> Access:
    """What a node of that name has of ROS."""
    return Access(_renamed(of_ros.publish, full_name), _renamed(of_ros.subscribe, full_name))


def _renamed(names: Iterable[str], full_name: str) -> frozenset[str]:
    return frozenset(entry.replace(f"/{_ASKED}/", f"{full_name}/") for entry in names)


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
    published = frozenset(name for name, _ in publish)
    subscribed = frozenset(name for name, _ in subscribe)
    return Access(published, subscribed)
