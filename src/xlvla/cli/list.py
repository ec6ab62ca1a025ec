"""`xlvla list`: the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.table import Table


def register(app: typer.Typer) -> None:
    app.command("list")(catalogue)


def catalogue() -> None:
    """Show the catalogue: hands, arms, rigs, tasks and policies."""
    from rich.console import Console

    console = Console()
    for table in (_hands(), _arms(), _rigs()):
        console.print(table)
    console.print(_words())


def _hands() -> Table:
    from xlvla import catalog
    from xlvla.types import FINGERS

    table = _table("Hands", "name", "device", "joints", "coupled", "fingers")
    for hand in catalog.hands().values():
        coupled = sum(joint.moves and not joint.free for joint in hand.description("right").joints)
        fingers = ", ".join(finger for finger in FINGERS if finger in hand.tips)
        table.add_row(hand.name, hand.title, str(len(hand.joints)), str(coupled), fingers)
    return table


def _arms() -> Table:
    from xlvla import catalog

    table = _table("Arms", "name", "device", "joints", "flange")
    for arm in catalog.arms().values():
        table.add_row(arm.name, arm.title, str(len(arm.joints)), arm.flange)
    return table


def _rigs() -> Table:
    from xlvla import catalog
    from xlvla.rig import load

    table = _table("Rigs", "name", "sides", "what it is")
    for name in catalog.rigs():
        rig = load(name)
        sides = "\n".join(f"{side}: {station.arm.type} + {station.hand.type}" for side, station in rig.sides.items())
        table.add_row(name, sides, rig.description)
    return table


def _words() -> Table:
    from xlvla import catalog

    table = _table("Choices", "kind", "names")
    table.add_row("task", ", ".join(catalog.tasks()) or "none installed")
    table.add_row("policy", ", ".join((*catalog.policies(), "none")))
    return table


def _table(title: str, *columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    table.columns[0].style = "cyan"
    return table
