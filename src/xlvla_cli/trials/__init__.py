"""`xlvla trials`: policies compared on a robot by a person who does not know which one acts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xlvla_cli.commands import register_all

Folder = Annotated[Path, typer.Argument(help="Folder of the trials, as `xlvla trials new` made.")]

sub = typer.Typer(
    name="trials",
    no_args_is_help=True,
    help="Compare policies on a robot, blind: draw trials, run and score them, show what came of "
    "it.",
)


def register(app: typer.Typer) -> None:
    register_all(__name__, __path__, sub)
    app.add_typer(sub)
