"""Who says, hears and serves what in a rig's graph, as data: what `xlvla show` prints, checked in
the tests against the running graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xlvla import topics as names
from xlvla.graph import NodeSpec, nodes
from xlvla.rig import Rig
from xlvla.ros import eye, topics
from xlvla.ros.topics import Service, Topic
from xlvla.types import PARTS, Part, Side


@dataclass(frozen=True)
class Wiring:
    """The topics and services of one node; `calls` are those of others that it uses."""

    says: tuple[Topic, ...] = ()
    hears: tuple[Topic, ...] = ()
    serves: tuple[Service, ...] = ()
    calls: tuple[Service, ...] = ()


def wiring(rig: Rig) -> dict[str, Wiring]:
    """What every node of a rig says, hears and serves, by the node's name."""
    return {spec.name: _of_node(rig, spec) for spec in nodes(rig)}


def operator(rig: Rig) -> Wiring:
    """What whoever watches a rig and gives it orders says, hears and calls: `xlvla run`, and the
    commands beside a running rig.
    """
    wires = wiring(rig).values()
    heard = (topic for wire in wires for topic in wire.says)
    watched = (
        topics.SIM_STATUS,
        topics.SIM_STATE,
        topics.TELEOP_STATUS,
        topics.RECORDER_STATUS,
        topics.CUE,
        topics.EMULATED_FAULTS,
    )
    served = tuple(service for wire in wires for service in wire.serves)
    says = (*_by_anybody(rig), topics.TELEOP_KEYS, topics.INJECT, topics.STOP)
    return Wiring(
        says,
        tuple(dict.fromkeys((*heard, *watched))),
        calls=tuple(dict.fromkeys((*served, *_ORDERS))),
    )


def trackers(rig: Rig) -> tuple[Topic, ...]:
    """What a tracker with a ROS driver of its own says to the teleoperation of a rig."""
    own = rig.teleop is not None and not rig.teleop.scripted
    return (
        tuple(
            topic(side)
            for topic in _TRACKERS.get(rig.teleop.source if rig.teleop else "", ())
            for side in rig.sides
        )
        if own
        else ()
    )


def recorded(rig: Rig) -> tuple[Topic, ...]:
    """What a recorder keeps: what the nodes of a rig say, and what its operator does, but for what
    follows from the rest.

    Of pictures that come both raw and compressed the compressed ones; of what a tracker says what
    teleoperation understood.
    """
    said = [
        topic
        for spec in nodes(rig)
        if spec.module != _RECORDER
        for topic in _of_node(rig, spec).says
    ]
    without = {*_UNRECORDED, *(topic(side) for topic in _TRACKERS["topics"] for side in rig.sides)}
    by_name = {topic.name: topic for topic in (*said, *_by_anybody(rig)) if topic not in without}
    return tuple(topic for name, topic in by_name.items() if names.compressed(name) not in by_name)


def type_name(entry: Topic | Service) -> str:
    """`sensor_msgs/msg/Image`, as ROS writes it."""
    package, kind = entry.type.__module__.split(".")[:2]
    return f"{package}/{kind}/{entry.type.__name__}"


def _by_anybody(rig: Rig) -> tuple[Topic, ...]:
    """What is said by the operator as well as by nodes, or by the operator alone."""
    return (
        *(topics.chunk(side) for side in rig.sides),
        topics.INSTRUCTION,
        topics.SOURCE,
        topics.BUTTON,
    )


def _of_node(rig: Rig, spec: NodeSpec) -> Wiring:
    own = _NODES[spec.module](rig, spec.part)
    clock = (topics.CLOCK,) if rig.sim else ()
    return Wiring((*own.says, topics.DIAGNOSTICS), (*clock, *own.hears), own.serves, own.calls)


def _sim(rig: Rig, part: str) -> Wiring:
    cameras = [topic for name, camera in rig.cameras.items() for topic in eye.says(name, camera)]
    world = (topics.CLOCK, topics.RESET, topics.SIM_STATUS, topics.SIM_STATE)
    says = (*world, *cameras, *_each(rig, topics.joint_states), *_each(rig, topics.device))
    return Wiring(says, (*_each(rig, topics.command), topics.STOP), (topics.SIM_RESET,))


def _mirror(rig: Rig, part: str) -> Wiring:
    cameras = [topic for name in rig.mirrored for topic in eye.says(name, rig.cameras[name])]
    return Wiring(
        (topics.SIM_STATUS, topics.SIM_STATE, *cameras),
        _each(rig, topics.joint_states),
        (topics.SIM_RESET,),
    )


def _operator(rig: Rig, part: str) -> Wiring:
    says = (
        *(topic(side) for topic in _TRACKERS["topics"] for side in rig.sides),
        topics.BUTTON,
        topics.INSTRUCTION,
    )
    hears = (topics.SIM_STATUS, topics.SIM_STATE, topics.TELEOP_STATUS, topics.RECORDER_STATUS)
    return Wiring(says, hears, calls=(topics.SIM_RESET, topics.TELEOP_CLUTCH))


def _hand(rig: Rig, side: Side) -> Wiring:
    own = _device(rig, side, "hand")
    return Wiring((*own.says, topics.tactile(side)), own.hears, own.serves)


def _arm(rig: Rig, side: Side) -> Wiring:
    return _device(rig, side, "arm")


def _device(rig: Rig, side: Side, part: Part) -> Wiring:
    says = (topics.joint_states(side, part), topics.device(side, part))
    return Wiring(says, (topics.command(side, part), topics.STOP), (topics.recover(side, part),))


def _emulators(rig: Rig, part: str) -> Wiring:
    return Wiring((topics.EMULATED_FAULTS,), (topics.INJECT,))


def _camera(rig: Rig, camera: str) -> Wiring:
    return Wiring(eye.says(camera, rig.cameras[camera]))


def _joint_states(rig: Rig, part: str) -> Wiring:
    return Wiring((topics.JOINT_STATES, topics.ROBOT_DESCRIPTION), _each(rig, topics.joint_states))


def _motion(rig: Rig, part: str) -> Wiring:
    chunks = tuple(topics.chunk(side) for side in rig.sides)
    services = (topics.ENGAGE, topics.ESTOP, topics.MOTION_RESET, topics.HOME)
    hears = (
        *chunks,
        *_each(rig, topics.joint_states),
        *_each(rig, topics.device),
        topics.SOURCE,
        topics.STOP,
        *_resets(rig),
    )
    return Wiring((*_commands(rig), topics.MOTION_STATUS, topics.STOP), hears, services)


def _teleop(rig: Rig, source: str) -> Wiring:
    own = (topics.chunk, topics.operator_wrist, topics.operator_keypoints, topics.leader)
    says = (
        *(topic(side) for side in rig.sides for topic in own),
        topics.TELEOP_STATUS,
        topics.TELEOP_LATENT,
        topics.BUTTON,
    )
    heard = [topic(side) for topic in _TRACKERS.get(source, ()) for side in rig.sides]
    heard += [topics.TELEOP_KEYS] if source == "keyboard" else []
    robot = (topics.MOTION_STATUS, topics.RESET, *_each(rig, topics.joint_states), *_commands(rig))
    return Wiring(says, (*robot, *heard), (topics.TELEOP_CLUTCH,))


_TRACKERS: dict[str, tuple[Callable[[Side], Topic], ...]] = {
    "topics": (topics.tracked_wrist, topics.tracked_keypoints),
    "exoskeleton": (topics.exoskeleton,),
}
"""What sources of teleoperation that come by topics hear, by side."""


def _policy(rig: Rig, part: str) -> Wiring:
    says = (*(topics.chunk(side) for side in rig.sides), topics.LATENT, topics.MARKERS)
    cameras = [eye.seen(name, camera) for name, camera in rig.cameras.items()]
    hears = (
        topics.INSTRUCTION,
        topics.RESET,
        *cameras,
        *_each(rig, topics.joint_states),
        *_each(rig, topics.command),
    )
    return Wiring(says, hears)


def _resets(rig: Rig) -> tuple[Topic, ...]:
    """Only a simulated world is ever put back."""
    return (topics.RESET,) if rig.sim else ()


def _commands(rig: Rig) -> tuple[Topic, ...]:
    return _each(rig, topics.command_dry if rig.motion.dry_run else topics.command)


def _recorder(rig: Rig, part: str) -> Wiring:
    services = (
        topics.RECORDER_START,
        topics.RECORDER_STOP,
        topics.RECORDER_DISCARD,
        topics.RECORDER_MARK,
        topics.RECORDER_RELABEL,
    )
    return Wiring((topics.RECORDER_STATUS, topics.CUE), recorded(rig), services)


def _each(rig: Rig, topic: Callable[[Side, Part], Topic]) -> tuple[Topic, ...]:
    return tuple(topic(side, part) for side in rig.sides for part in PARTS)


_ORDERS = (topics.ESTOP, topics.ENGAGE, topics.MOTION_RESET, topics.HOME)
"""What the operator may order of motion, wherever that runs."""

_RECORDER = "xlvla_data.nodes.recorder"

_UNRECORDED = (
    topics.CLOCK,
    topics.DIAGNOSTICS,
    topics.JOINT_STATES,
    topics.ROBOT_DESCRIPTION,
    topics.MARKERS,
    topics.CUE,
    topics.EMULATED_FAULTS,
)

_NODES: dict[str, Callable[[Rig, Any], Wiring]] = {
    "xlvla_sim.nodes.sim": _sim,
    "xlvla_sim.nodes.mirror": _mirror,
    "xlvla_sim.nodes.operator": _operator,
    "xlvla.nodes.joint_states": _joint_states,
    "xlvla_drivers.nodes.hand": _hand,
    "xlvla_drivers.nodes.arm": _arm,
    "xlvla_drivers.nodes.camera": _camera,
    "xlvla_drivers.nodes.emulators": _emulators,
    "xlvla_drivers.nodes.motion": _motion,
    "xlvla_drivers.nodes.teleop": _teleop,
    "xlvla_policy.nodes.policy": _policy,
    _RECORDER: _recorder,
}
