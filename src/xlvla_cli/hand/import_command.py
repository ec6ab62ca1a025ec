"""`xlvla hand import`: an entry and two URDFs from a maker's description."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from xlvla.errors import XlvlaError, unknown
from xlvla.types import NONE, SIDES, Side
from xlvla_cli.pairs import coupling, pairs, span


def register(app: typer.Typer) -> None:
    app.command("import")(import_hand)


def import_hand(
    file: Annotated[Path, typer.Argument(help="URDF, xacro or MJCF of one side.")],
    left: Annotated[
        Path | None,
        typer.Option(help="The left hand's file; without it the other side is a mirror image."),
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the hand; the file's if not given.")] = "",
    to: Annotated[Path, typer.Option(help="Folder to write to, for XLVLA_HANDS.")] = Path("hands"),
    palm: Annotated[str, typer.Option(help="Link of the palm.")] = "",
    thumb: Annotated[str, typer.Option(help="A link of the thumb.")] = "",
    tips: Annotated[
        str, typer.Option(help="Tip, or last link, of each finger: thumb=LINK,index=LINK,...")
    ] = "",
    side: Annotated[str, typer.Option(help="Side of FILE: left or right.")] = "",
    limit: Annotated[
        list[str] | None, typer.Option(help="JOINT=LOW,HIGH in rad or m; repeatable.")
    ] = None,
    mimic: Annotated[
        list[str] | None,
        typer.Option(
            help="JOINT=OTHER,FACTOR[,OFFSET]: a coupling that the file lacks; repeatable."
        ),
    ] = None,
    mass: Annotated[
        float | None, typer.Option(help="Mass of a side [kg], if the file's is not meant.", min=0)
    ] = None,
    package: Annotated[
        list[str] | None, typer.Option(help="NAME=FOLDER of package://NAME; repeatable.")
    ] = None,
    arg: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of a xacro argument; repeatable.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write over a hand that is there.")
    ] = False,
) -> None:
    """Turn a maker's description of a hand into one that xlvla can use."""
    from xlvla import catalog
    from xlvla_sim.hand_import.names import hand_name

    if side and side not in SIDES:
        raise unknown("side", side, SIDES)
    chosen_side: Side | None = next((known for known in SIDES if known == side), None)
    limits = {joint: span(joint, text) for joint, text in pairs(limit or (), "--limit").items()}
    couplings = {
        joint: coupling(joint, text) for joint, text in pairs(mimic or (), "--mimic").items()
    }
    packages = {key: Path(text) for key, text in pairs(package or (), "--package").items()}
    arguments = pairs(arg or (), "--arg")
    tip_links = pairs(tips.split(","), "--tips")
    name = name or hand_name(file)
    if not name.isidentifier():
        raise XlvlaError(f"'{name}' is no name for a Python file: letters, digits and _")
    if name == NONE:
        raise XlvlaError(f"'{NONE}' is the name of no hand at all: say --name NAME")
    entry = to / f"{name}.py"
    if not force and (entry.exists() or name in catalog.hands()):
        raise XlvlaError(f"there is a hand '{name}' already: say --name NAME, or --force")

    from xlvla_sim.hand_import.anatomy import Choices
    from xlvla_sim.hand_import.importer import Maker, import_hand

    entry = import_hand(
        file,
        left,
        to,
        name,
        maker=Maker(packages, arguments, limits, couplings, mass or None),
        choices=Choices(palm, thumb, tip_links, chosen_side),
        say=typer.echo,
    )
    typer.echo(f"{entry}, {to / name}/left.urdf and right.urdf")
    if str(to.resolve()) not in os.environ.get("XLVLA_HANDS", "").split(os.pathsep):
        typer.echo(f"export XLVLA_HANDS={to.resolve()}   # and every command knows '{name}'")
    typer.echo(f"next: xlvla hand show {name}; xlvla codec add {name}")
