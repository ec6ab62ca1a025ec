"""`xlvla arm import`: an entry and a URDF from a maker's description."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated

import typer

from xlvla.errors import XlvlaError
from xlvla.types import NONE
from xlvla_cli.pairs import pairs, span


def register(app: typer.Typer) -> None:
    app.command("import")(import_arm)


def import_arm(
    file: Annotated[Path, typer.Argument(help="URDF, xacro or MJCF of the arm.")],
    name: Annotated[str, typer.Option(help="Name of the arm; the file's if not given.")] = "",
    to: Annotated[Path, typer.Option(help="Folder to write to, for XLVLA_ARMS.")] = Path("arms"),
    base: Annotated[str, typer.Option(help="Link that stands on the table.")] = "",
    flange: Annotated[
        str, typer.Option(help="Link that a hand is mounted on, z out of the arm.")
    ] = "",
    home: Annotated[str, typer.Option(help="Where episodes start: joint=RAD,joint=RAD,...")] = "",
    acceleration: Annotated[
        float | None, typer.Option(min=0.01, help="Limit of every joint in rad/s^2.")
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option(help="JOINT=LOW,HIGH in rad or m; repeatable.")
    ] = None,
    package: Annotated[
        list[str] | None, typer.Option(help="NAME=FOLDER of package://NAME; repeatable.")
    ] = None,
    arg: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE of a xacro argument; repeatable.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write over an arm that is there.")
    ] = False,
) -> None:
    """Turn a maker's description of an arm into one that xlvla can use."""
    from xlvla import catalog

    limits = {joint: span(joint, text) for joint, text in pairs(limit or (), "--limit").items()}
    packages = {key: Path(text) for key, text in pairs(package or (), "--package").items()}
    arguments = pairs(arg or (), "--arg")
    name = name or file.name.partition(".")[0].replace("-", "_").lower()
    if not name.isidentifier():
        raise XlvlaError(
            f"'{name}' is no name for a Python file: say --name, letters, digits and _"
        )
    if name == NONE:
        raise XlvlaError(f"'{NONE}' is the name of no arm at all: say --name NAME")
    if acceleration is not None and not math.isfinite(acceleration):
        raise XlvlaError(f"--acceleration takes a number of rad/s^2, not {acceleration}")
    if not force and ((to / f"{name}.py").exists() or name in catalog.arms()):
        raise XlvlaError(f"there is an arm '{name}' already: say --name NAME, or --force")

    from xlvla_sim import arm_import
    from xlvla_sim.hand_import.importer import Maker

    entry = arm_import.import_arm(
        file,
        to,
        name,
        maker=Maker(packages, arguments, limits),
        choices=arm_import.Choices(base, flange, _home(home), acceleration),
        say=typer.echo,
    )
    typer.echo(f"{entry}, {to / name / name}.urdf")
    if str(to.resolve()) not in os.environ.get("XLVLA_ARMS", "").split(os.pathsep):
        typer.echo(f"export XLVLA_ARMS={to.resolve()}   # and every command knows '{name}'")


def _home(text: str) -> dict[str, float]:
    home: dict[str, float] = {}
    for joint, angle in pairs(text.split(","), "--home").items():
        try:
            home[joint] = float(angle)
        except ValueError:
            raise XlvlaError(f"--home takes {joint}=RAD, not '{joint}={angle}'") from None
    return home
