"""`xlvla show`: the resolved graph of a rig."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from xlvla import rig_file

if TYPE_CHECKING:
    from rich.console import RenderableType

    from xlvla.rig import Rig

_HAND = "Hand on the {} arm instead of the rig's."


def register(app: typer.Typer) -> None:
    app.command("show")(show)


def show(
    rig: Annotated[str, typer.Argument(help="Name of a rig, or its YAML file.")] = "bimanual",
    left_hand: Annotated[str | None, typer.Option(help=_HAND.format("left"))] = None,
    right_hand: Annotated[str | None, typer.Option(help=_HAND.format("right"))] = None,
    policy: Annotated[
        str | None, typer.Option(help="Policy instead of the rig's; none leaves it out.")
    ] = None,
) -> None:
    """Show what a rig resolves to: parts and joints, settings, nodes, topics and services."""
    from xlvla import screen
    from xlvla.rig_file import load

    resolved = rig_file.with_choices(
        load(rig), hands={"left": left_hand, "right": right_hand}, policy=policy
    )
    console = screen.console()
    console.print(screen.styled((resolved.name, "bold"), f"  {resolved.description}"), "", sep="\n")
    for table in (_sides(resolved), _settings(resolved), _nodes(resolved), *_graph(resolved)):
        console.print(table)


def _sides(rig: Rig) -> RenderableType:
    from xlvla.types import PARTS
    from xlvla_cli.tables import table

    parts = table("Joints", "part", "device", "names on every topic")
    for side in rig.sides:
        titles = {"arm": rig.arm(side).title, "hand": rig.hand(side).title}
        for part in PARTS:
            names = rig.joint_names(side, part)
            parts.add_row(
                f"{side} {part}",
                f"{titles[part]}\n{len(names)} joints",
                _without(f"{side}_{part}_", names),
            )
    return parts


def _without(prefix: str, names: tuple[str, ...]) -> str:
    return f"{prefix}*: " + ", ".join(name.removeprefix(prefix) for name in names)


def _settings(rig: Rig) -> RenderableType:
    import dataclasses

    from xlvla_cli.tables import table

    settings = table("Settings", "section", "values")
    sections = {f"camera {name}": camera for name, camera in rig.cameras.items()}
    if not rig.sim:
        sections |= {f"{side} {part} device": rig.device(side, part) for side, part in rig.parts}
    for name, section in {
        **sections,
        "policy": rig.policy,
        "motion": rig.motion,
        "sim": rig.sim,
    }.items():
        values = dataclasses.asdict(section) if section else {}
        settings.add_row(
            name, ", ".join(f"{key}={value}" for key, value in values.items()) or "none"
        )
    return settings


def _nodes(rig: Rig) -> RenderableType:
    from xlvla.graph import nodes
    from xlvla_cli.tables import table

    specs = table(
        "Nodes (all required; more parameters: autostart=true)", "node", "module", "parameters"
    )
    for spec in nodes(rig):
        parameters = ", ".join(f"{key}='{value}'" for key, value in spec.params(rig.name).items())
        specs.add_row(f"/{spec.label.lstrip('/')}", spec.module, parameters)
    return specs


def _graph(rig: Rig) -> list[RenderableType]:
    """Topics and services; their types come from ROS, so both are left out where rclpy is
    missing.
    """
    from xlvla.errors import XlvlaError

    try:
        from xlvla.ros.wiring import type_name, wiring
    except XlvlaError as error:
        return [f"no topics or services to show: {error}"]
    from xlvla_cli.tables import table

    wires = wiring(rig)
    every = {
        topic.name: topic
        for wire in wires.values()
        for topic in (*wire.publishes, *wire.subscribes)
    }
    topics = table("Topics", "topic", "type", "from", "to")
    for name, topic in sorted(every.items()):
        publishes = [
            node for node, wire in wires.items() if name in {t.name for t in wire.publishes}
        ]
        subscribes = [
            node for node, wire in wires.items() if name in {t.name for t in wire.subscribes}
        ]
        publishes = ["every node"] if len(publishes) == len(wires) else publishes
        subscribes = ["every node"] if len(subscribes) == len(wires) else subscribes
        topics.add_row(
            name,
            type_name(topic).replace("/msg/", " "),
            ", ".join(publishes) or "operator",
            ", ".join(subscribes),
        )
    services = table("Services", "service", "type", "node")
    for node, wire in wires.items():
        for service in wire.provides:
            services.add_row(service.name, type_name(service).replace("/srv/", " "), node)
    return [topics, services]
