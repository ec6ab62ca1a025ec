"""A robot with a ROS 2 driver of its own, as an arm's or a hand's driver knows it: what a rig says
about its topics and names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from xlvla.errors import XlvlaError, unknown_line
from xlvla.ranges import Range
from xlvla.types import Side

Kind = Literal["positions", "trajectory", "joint_state"]

_TOPICS: Mapping[Kind, str] = {
    "positions": "{controller}/commands",
    "trajectory": "{controller}/joint_trajectory",
    "joint_state": "joint_commands",
}


@dataclass(frozen=True)
class Options:
    """What a rig may say of a robot behind ros2_control. Its address is the namespace of its
    driver, `/` where it has none; topics with a slash in front stand outside of it.

    Args:
        controller: its name.
        commands: what it hears: `positions`, an array as forward_command_controller takes it;
            `trajectory`, one point at a time, as joint_trajectory_controller does; `joint_state`,
            for a driver without controllers.
        topic: where it hears them; '' is where such a controller does.
        states: topic of its joint states.
        prefix: what its joints' names begin with, before ours.
        names: its joints by ours, where they are called otherwise.
        order: its joints in the order of its array, where it has no parameter `joints` to ask.
        manager: the node that knows whether the controller is active.
        ahead_s: when a point of a trajectory is due.
    """

    controller: str = "forward_position_controller"
    commands: Kind = "positions"
    topic: str = ""
    states: str = "joint_states"
    prefix: str = ""
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    order: list[str] = field(default_factory=list[str])
    manager: str = "controller_manager"
    ahead_s: Annotated[float, Range(0.005, 1)] = 0.05

    @property
    def has_controller(self) -> bool:
        return self.commands != "joint_state"


def absolute(namespace: str, name: str) -> str:
    """The full name of a topic, a node or a service in a namespace."""
    if name.startswith("/"):
        return name
    inside = namespace.strip("/")
    return f"/{inside}/{name}" if inside else f"/{name}"


def command_topic(namespace: str, options: Options) -> str:
    usual = _TOPICS[options.commands].format(controller=options.controller)
    return absolute(namespace, options.topic or usual)


def claim(address: str, side: Side, options: Options) -> str:
    """Whoever commands a controller moves its joints."""
    return command_topic(address, options)


def their_names(joints: Sequence[str], options: Options) -> tuple[str, ...]:
    """What the robot calls our joints."""
    for name in options.names:
        if name not in joints:
            raise XlvlaError(f"device.options.names: {unknown_line('joint', name, joints)}")
    return tuple(options.names.get(name, options.prefix + name) for name in joints)


def columns(given: Sequence[str], wanted: Sequence[str], where: str) -> list[int]:
    """Where in `given` each wanted name stands; refuses other names and missing ones, by `where`
    they are said.
    """
    if sorted(given) != sorted(wanted):
        raise XlvlaError(
            f"{where} has the joints {', '.join(given) or 'none'}; the rig has "
            f"{', '.join(wanted)}: say `names` or `prefix` under device.options"
        )
    return [list(wanted).index(name) for name in given]
