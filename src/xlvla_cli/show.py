"""`xlvla show`: the resolved graph of a rig."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from xlvla_cli.dataclass_options import options_of
from xlvla_cli.options import RigArgument
from xlvla_cli.rig_choices import RigChoices, with_choices

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xlvla.rig import Rig
    from xlvla.ros.topics import Topic
    from xlvla.ros.wiring import Wiring

OF_A_RUN = ("sim", "checkpoint", "instruction", "seed", "speed", "network")
"""Choices that change nothing that is shown here."""


def register(app: typer.Typer) -> None:
    app.command("show")(show)


@options_of(skip=OF_A_RUN, choices=RigChoices)
def show(rig: RigArgument = "bimanual", *, choices: Mapping[str, Any]) -> None:
    """Show what a rig resolves to: parts and joints, settings, nodes, topics and services."""
    from xlvla import screen
    from xlvla.rig_file import load

    resolved = with_choices(load(rig), RigChoices(**choices))
    console = screen.console()
    console.print(screen.styled((resolved.name, "bold"), f"  {resolved.description}"), "", sep="\n")
    console.print(_sides(resolved))
    console.print(_settings(resolved))
    console.print(_nodes(resolved))
    for table in _graph(resolved):
        console.print(table)


def _sides(rig: Rig) -> RenderableType:
    from xlvla_cli.tables import table

    parts = table("Joints", "part", "device", "names on every topic")
    for side in rig.sides:
        titles = {"arm": rig.arm(side).title, "hand": rig.hand(side).title}
        for part in rig.parts_of(side):
            names = rig.joint_names(side, part)
            parts.add_row(
                f"{side} {part}",
                f"{titles[part]}\n{len(names)} joints",
                _without(f"{side}_{part}_", names),
            )
    return parts


def _without(prefix: str, names: tuple[str, ...]) -> str:
    short = [name.removeprefix(prefix) for name in names]
    return f"{prefix}*: {', '.join(short)}"


def _settings(rig: Rig) -> RenderableType:
    import dataclasses

    from xlvla_cli.tables import table

    sections: dict[str, Any] = {}
    if rig.humanoid:
        sections["humanoid"] = rig.humanoid
    for name, camera in rig.cameras.items():
        sections[f"camera {name}"] = camera
    if not rig.sim:
        for side, part in rig.parts:
            sections[f"{side} {part} device"] = rig.device(side, part)
    sections["policy"] = rig.policy
    sections["motion"] = rig.motion
    sections["sim"] = rig.sim
    settings = table("Settings", "section", "values")
    for name, section in sections.items():
        values = dataclasses.asdict(section) if section else {}
        entries = [f"{key}={value}" for key, value in values.items()]
        settings.add_row(name, ", ".join(entries) or "none")
    return settings


def _nodes(rig: Rig) -> RenderableType:
    from xlvla.graph import nodes
    from xlvla_cli.tables import table

    specs = table(
        "Nodes (all required; more parameters: autostart=true)", "node", "module", "parameters"
    )
    for spec in nodes(rig):
        parameters = [f"{key}='{value}'" for key, value in spec.params(rig.name).items()]
        specs.add_row(spec.full_name, spec.module, ", ".join(parameters))
    return specs


def _graph(rig: Rig) -> list[RenderableType]:
    """Topics and services; their types come from ROS, so both are left out where rclpy is
    missing.
    """
    from xlvla.errors import XlvlaError
    from xlvla.graph import within

    try:
        from xlvla.ros.wiring import type_name, wiring
    except XlvlaError as error:
        return [f"no topics or services to show: {error}"]
    from xlvla_cli.tables import table

    wires = wiring(rig)
    place = within(rig.namespace)
    topics = table("Topics", "topic", "type", "from", "to")
    for name, ends in sorted(_topic_ends(wires).items()):
        topics.add_row(
            place + name,
            type_name(ends.topic).replace("/msg/", " "),
            _nodes_line(ends.publishers, wires) or "operator",
            _nodes_line(ends.subscribers, wires),
        )
    services = table("Services", "service", "type", "node")
    for node, wire in wires.items():
        for service in wire.provides:
            services.add_row(place + service.name, type_name(service).replace("/srv/", " "), node)
    return [topics, services]


@dataclass
class TopicEnds:
    """The nodes that publish and subscribe a topic."""

    topic: Topic
    publishers: list[str] = field(default_factory=list[str])
    subscribers: list[str] = field(default_factory=list[str])


def _topic_ends(wires: Mapping[str, Wiring]) -> dict[str, TopicEnds]:
    ends: dict[str, TopicEnds] = {}
    for node, wire in wires.items():
        for topic in wire.publishes:
            ends.setdefault(topic.name, TopicEnds(topic)).publishers.append(node)
        for topic in wire.subscribes:
            ends.setdefault(topic.name, TopicEnds(topic)).subscribers.append(node)
    return ends


def _nodes_line(nodes: list[str], wires: Mapping[str, Wiring]) -> str:
    if len(nodes) == len(wires):
        return "every node"
    return ", ".join(nodes)
