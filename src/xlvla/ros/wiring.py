"""Who says, hears and serves what in a rig's graph, as data: what `xlvla show` prints, checked in the tests against the running graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xlvla.graph import NodeSpec, nodes
from xlvla.rig import Rig
from xlvla.ros import topics
from xlvla.ros.topics import Service, Topic
from xlvla.types import PARTS, Part, Side


@dataclass(frozen=True)
class Wiring:
    """The topics and services of one node."""

    says: tuple[Topic, ...] = ()
    hears: tuple[Topic, ...] = ()
    serves: tuple[Service, ...] = ()


def wiring(rig: Rig) -> dict[str, Wiring]:
    """What every node of a rig says, hears and serves, by the node's name."""
    return {spec.name: _of_node(rig, spec) for spec in nodes(rig)}


def type_name(entry: Topic | Service) -> str:
    """`sensor_msgs/msg/Image`, as ROS writes it."""
    package, kind = entry.type.__module__.split(".")[:2]
    return f"{package}/{kind}/{entry.type.__name__}"


def _of_node(rig: Rig, spec: NodeSpec) -> Wiring:
    own = _NODES[spec.module](rig)
    clock = (topics.CLOCK,) if rig.sim else ()
    return Wiring((*own.says, topics.DIAGNOSTICS), (*clock, *own.hears), own.serves)


def _sim(rig: Rig) -> Wiring:
    cameras = [topic(camera) for camera in rig.cameras for topic in (topics.image, topics.camera_info)]
    world = (topics.CLOCK, topics.RESET, topics.SIM_STATUS, topics.SIM_STATE)
    return Wiring((*world, *cameras, *_each(rig, topics.joint_states)), _each(rig, topics.command), (topics.SIM_RESET,))


def _joint_states(rig: Rig) -> Wiring:
    return Wiring((topics.JOINT_STATES, topics.ROBOT_DESCRIPTION), _each(rig, topics.joint_states))


def _motion(rig: Rig) -> Wiring:
    chunks = tuple(topics.chunk(side) for side in rig.sides)
    services = (topics.ENGAGE, topics.ESTOP, topics.MOTION_RESET)
    return Wiring(_each(rig, topics.command), (*chunks, *_each(rig, topics.joint_states), topics.RESET), services)


def _policy(rig: Rig) -> Wiring:
    says = (*(topics.chunk(side) for side in rig.sides), topics.LATENT, topics.MARKERS)
    cameras = [topics.image(camera) for camera in rig.cameras]
    hears = (topics.INSTRUCTION, topics.RESET, *cameras, *_each(rig, topics.joint_states), *_each(rig, topics.command))
    return Wiring(says, hears)


def _each(rig: Rig, topic: Callable[[Side, Part], Topic]) -> tuple[Topic, ...]:
    return tuple(topic(side, part) for side in rig.sides for part in PARTS)


_NODES: dict[str, Callable[[Rig], Any]] = {
    "xlvla_sim.nodes.sim": _sim,
    "xlvla.nodes.joint_states": _joint_states,
    "xlvla_drivers.nodes.motion": _motion,
    "xlvla_policy.nodes.policy": _policy,
}
