"""`xlvla list`: the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from xlvla_cli.tables import table

if TYPE_CHECKING:
    from rich.table import Table


def register(app: typer.Typer) -> None:
    app.command("list")(catalogue)


def catalogue() -> None:
    """Show the catalogue: hands, arms, humanoids, rigs, tasks and policies."""
    from xlvla import screen

    console = screen.console()
    for section in (_hands(), _arms(), _humanoids(), _rigs(), _words()):
        console.print(section)
    for line in _unread():
        console.print(line, markup=False, highlight=False)


def _hands() -> Table:
    from xlvla import catalog
    from xlvla.types import FINGERS

    rows = table("Hands", "name", "device", "joints", "coupled", "fingers")
    for hand in catalog.hands().values():
        coupled = sum(joint.moves and not joint.free for joint in hand.description("right").joints)
        fingers = ", ".join(finger for finger in FINGERS if finger in hand.tips)
        rows.add_row(hand.name, hand.title, str(len(hand.joints)), str(coupled), fingers)
    return rows


def _unread() -> list[str]:
    """What no rig can have of the hands, one line each: `xlvla check` refuses it."""
    from xlvla import catalog, solids
    from xlvla.types import SIDES

    lines: list[str] = []
    for hand in catalog.hands().values():
        for side in SIDES:
            faults = [*hand.faults_of(side), *solids.unread(hand.urdf_model(side))]
            lines += [f"hand {hand.name} ({side}): {fault}" for fault in faults]
    return lines


def _arms() -> Table:
    from xlvla import catalog

    rows = table("Arms", "name", "device", "joints", "flange")
    for arm in catalog.arms().values():
        rows.add_row(arm.name, arm.title, str(len(arm.joints)), arm.flange)
    return rows


def _humanoids() -> Table:
    from xlvla import catalog

    rows = table("Humanoids", "name", "device", "limbs", "held")
    for body in catalog.humanoids().values():
        rows.add_row(body.name, body.title, ", ".join(body.limbs), ", ".join(body.waist))
    return rows


def _rigs() -> Table:
    from xlvla import catalog
    from xlvla.rig_file import load

    rows = table("Rigs", "name", "sides", "what it is")
    for name in catalog.rigs():
        rig = load(name)
        sides = "\n".join(
            f"{side}: {station.arm.type} + {station.hand.type}"
            for side, station in rig.sides.items()
        )
        rows.add_row(name, sides, rig.description)
    return rows


def _with_code(task: str) -> str:
    """`push_cans (PC)`: the name, and the paper's code where it has one."""
    from xlvla import paper

    code = paper.code(task)
    return task if code == task else f"{task} ({code})"


def _words() -> Table:
    from xlvla import catalog, paper

    rows = table("Choices", "kind", "names")
    named = [_with_code(task) for task in paper.known()]
    rows.add_row("task", ", ".join(named) or "none installed")
    for kind in ("hand", "arm", "camera"):
        rows.add_row(f"{kind} driver", ", ".join(catalog.drivers(kind)) or "none installed")
    rows.add_row("teleop source", ", ".join(catalog.drivers("teleop")) or "none installed")
    rows.add_row("buttons", ", ".join(catalog.buttons()) or "none installed")
    rows.add_row("policy", ", ".join((*catalog.policies(), "none")))
    return rows
