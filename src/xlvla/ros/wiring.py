"""Who publishes, subscribes to and provides what in a rig's graph, as data: what `xlvla show`
prints, checked in
the tests against the running graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xlvla import topics as names
from xlvla.graph import NodeSpec, nodes
from xlvla.rig import Rig
from xlvla.ros import camera_publisher, topics
from xlvla.ros.topics import Service, Topic
from xlvla.types import SOURCES, Part, Side


@dataclass(frozen=True)
class Wiring:
    """The topics and services of one node; `calls` are those of others that it uses."""

    publishes: tuple[Topic, ...] = ()
    subscribes: tuple[Topic, ...] = ()
    provides: tuple[Service, ...] = ()
    calls: tuple[Service, ...] = ()


def wiring(rig: Rig) -> dict[str, Wiring]:
    """What every node of a rig publishes, subscribes to and provides, by node name."""
    return {spec.name: _of_node(rig, spec) for spec in nodes(rig)}


def operator(rig: Rig) -> Wiring:
    """What the operator's process publishes, subscribes to and calls: `xlvla run`, and the commands
    used with a running rig.
    """
    wires = wiring(rig).values()
    subscribed = (topic for wire in wires for topic in wire.publishes)
    watched = (
        topics.SIM_STATUS,
        topics.SIM_STATE,
        topics.TELEOP_STATUS,
        topics.RECORDER_STATUS,
        topics.CUE,
        topics.EMULATED_FAULTS,
    )
    provided = tuple(service for wire in wires for service in wire.provides)
    publishes = (
        *_by_operator(rig),
        topics.TELEOP_KEYS,
        topics.INJECT,
        topics.SIM_SEED,
        topics.STOP,
    )
    return Wiring(
        publishes,
        tuple(dict.fromkeys((*subscribed, *watched))),
        calls=tuple(dict.fromkeys((*provided, *_ORDERS))),
    )


def trackers(rig: Rig) -> tuple[Topic, ...]:
    """What a tracker with its own ROS driver publishes for a rig's teleoperation."""
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
    """What a recorder keeps: what the nodes and the operator of a rig publish, except what is only
    shown to somebody.

    Of pictures that come both raw and compressed the compressed ones; of a tracker's topics what
    teleoperation made of them.
    """
    published = [
        topic
        for spec in nodes(rig)
        if spec.module != _RECORDER
        for topic in _of_node(rig, spec).publishes
    ]
    without = {*_UNRECORDED, *(topic(side) for topic in _TRACKERS["topics"] for side in rig.sides)}
    by_name = {
        topic.name: topic for topic in (*published, *_by_operator(rig)) if topic not in without
    }
    return tuple(topic for name, topic in by_name.items() if names.compressed(name) not in by_name)


def type_name(entry: Topic | Service) -> str:
    """`sensor_msgs/msg/Image`, as ROS writes it."""
    package, kind = entry.type.__module__.split(".")[:2]
    return f"{package}/{kind}/{entry.type.__name__}"


def _by_operator(rig: Rig) -> tuple[Topic, ...]:
    """What the operator publishes, alone or as well as nodes."""
    return (
        *(topics.chunk(side) for side in rig.sides),
        *(topics.chunk(side, "replay") for side in rig.sides),
        *(topics.relative_chunk(side) for side in rig.sides),
        topics.INSTRUCTION,
        topics.SOURCE,
        topics.BUTTON,
    )


def _of_node(rig: Rig, spec: NodeSpec) -> Wiring:
    own = _NODES[spec.module](rig, spec.part)
    clock = (topics.CLOCK,) if rig.sim else ()
    return Wiring(
        (*own.publishes, topics.DIAGNOSTICS), (*clock, *own.subscribes), own.provides, own.calls
    )


def _sim(rig: Rig, part: str) -> Wiring:
    cameras = [
        topic
        for name, camera in rig.cameras.items()
        for topic in camera_publisher.publishes(name, camera)
    ]
    world = (topics.CLOCK, topics.RESET, topics.SIM_STATUS, topics.SIM_STATE)
    publishes = (*world, *cameras, *_each(rig, topics.joint_states), *_each(rig, topics.device))
    subscribes = (*_each(rig, topics.command), topics.STOP, topics.SIM_SEED)
    return Wiring(publishes, subscribes, (topics.SIM_RESET,))


def _mirror(rig: Rig, part: str) -> Wiring:
    cameras = [
        topic
        for name in rig.mirrored
        for topic in camera_publisher.publishes(name, rig.cameras[name])
    ]
    return Wiring(
        (topics.SIM_STATUS, topics.SIM_STATE, *cameras),
        (*_each(rig, topics.joint_states), topics.SIM_SEED),
        (topics.SIM_RESET,),
    )


def _operator(rig: Rig, part: str) -> Wiring:
    publishes = (
        *(topic(side) for topic in _TRACKERS["topics"] for side in rig.sides),
        topics.BUTTON,
        topics.INSTRUCTION,
    )
    subscribes = (topics.SIM_STATUS, topics.SIM_STATE, topics.TELEOP_STATUS, topics.RECORDER_STATUS)
    return Wiring(publishes, subscribes, calls=(topics.SIM_RESET, topics.TELEOP_CLUTCH))


def _hand(rig: Rig, side: Side) -> Wiring:
    own = _device(rig, side, "hand")
    return Wiring((*own.publishes, topics.tactile(side)), own.subscribes, own.provides)


def _arm(rig: Rig, side: Side) -> Wiring:
    return _device(rig, side, "arm")


def _device(rig: Rig, side: Side, part: Part) -> Wiring:
    publishes = (topics.joint_states(side, part), topics.device(side, part))
    return Wiring(
        publishes, (topics.command(side, part), topics.STOP), (topics.recover(side, part),)
    )


def _emulators(rig: Rig, part: str) -> Wiring:
    return Wiring((topics.EMULATED_FAULTS,), (topics.INJECT,))


def _camera(rig: Rig, camera: str) -> Wiring:
    return Wiring(camera_publisher.publishes(camera, rig.cameras[camera]))


def _buttons(rig: Rig, name: str) -> Wiring:
    follows = rig.teleop is not None
    subscribes = (topics.STOP, topics.TELEOP_STATUS) if follows else (topics.STOP,)
    return Wiring(
        (topics.BUTTON, topics.STOP),
        subscribes,
        calls=(topics.TELEOP_CLUTCH,) if follows else (),
    )


def _joint_states(rig: Rig, part: str) -> Wiring:
    return Wiring((topics.JOINT_STATES, topics.ROBOT_DESCRIPTION), _each(rig, topics.joint_states))


def _motion(rig: Rig, part: str) -> Wiring:
    senders = (*SOURCES, None)
    chunks = (
        *(topics.chunk(side, source) for side in rig.sides for source in senders),
        *(topics.relative_chunk(side) for side in rig.sides),
    )
    services = (topics.ENGAGE, topics.ESTOP, topics.MOTION_RESET, topics.HOME)
    subscribes = (
        *chunks,
        *_each(rig, topics.joint_states),
        *_each(rig, topics.device),
        topics.SOURCE,
        topics.TAKE_OVER,
        topics.STOP,
        *_resets(rig),
    )
    publishes = (*_commands(rig), topics.MOTION_STATUS, topics.CONTROL_SOURCE, topics.STOP)
    return Wiring(publishes, subscribes, services)


def _teleop(rig: Rig, source: str) -> Wiring:
    own = (_teleop_chunk, topics.operator_wrist, topics.operator_keypoints, topics.leader)
    publishes = (
        *(topic(side) for side in rig.sides for topic in own),
        topics.TELEOP_STATUS,
        topics.TELEOP_LATENT,
        topics.TAKE_OVER,
        topics.BUTTON,
    )
    subscribed = [topic(side) for topic in _TRACKERS.get(source, ()) for side in rig.sides]
    subscribed += [topics.TELEOP_KEYS] if source == "keyboard" else []
    shown = rig.teleop.camera if rig.teleop else ""
    subscribed += [camera_publisher.seen(shown, rig.cameras[shown])] if shown else []
    robot = (topics.MOTION_STATUS, topics.RESET, *_each(rig, topics.joint_states), *_commands(rig))
    return Wiring(publishes, (*robot, *subscribed), (topics.TELEOP_CLUTCH,))


_TRACKERS: dict[str, tuple[Callable[[Side], Topic], ...]] = {
    "topics": (topics.tracked_wrist, topics.tracked_keypoints),
    "exoskeleton": (topics.exoskeleton,),
}
"""What teleoperation sources fed by topics subscribe to, by side."""


def _teleop_chunk(side: Side) -> Topic:
    return topics.chunk(side, "teleop")


def _policy(rig: Rig, part: str) -> Wiring:
    chunks = (topics.chunk(side, "policy") for side in rig.sides)
    publishes = (*chunks, topics.LATENT, topics.MARKERS)
    cameras = [camera_publisher.seen(name, camera) for name, camera in rig.cameras.items()]
    subscribes = (
        topics.INSTRUCTION,
        topics.RESET,
        *cameras,
        *_each(rig, topics.joint_states),
        *_each(rig, topics.command),
    )
    return Wiring(publishes, subscribes)


def _resets(rig: Rig) -> tuple[Topic, ...]:
    """Only a simulation is ever reset."""
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
    return tuple(topic(side, part) for side, part in rig.parts)


_ORDERS = (topics.ESTOP, topics.ENGAGE, topics.MOTION_RESET, topics.HOME)
"""What the operator may order of motion, wherever that runs."""

_RECORDER = "xlvla_data.nodes.recorder"

_UNRECORDED = (
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
    "xlvla_drivers.nodes.buttons": _buttons,
    "xlvla_drivers.nodes.motion": _motion,
    "xlvla_drivers.nodes.teleop": _teleop,
    "xlvla_policy.nodes.policy": _policy,
    _RECORDER: _recorder,
}
