"""`xlvla data`: from recordings to data sets that can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xlvla_cli.commands import register_all

Folders = Annotated[
    list[Path], typer.Argument(help="Data sets, or folders of them.", metavar="DATASETS")
]
Hands = Annotated[
    str,
    typer.Option(help="Only episodes with these hands: xhand, or exactly a pair: xhand+inspire."),
]
Tasks = Annotated[str, typer.Option(help="Only these tasks, the paper's codes or names.")]
Verdict = Annotated[str, typer.Option(help="Only episodes with this verdict: green, yellow, red.")]
Success = Annotated[str, typer.Option(help="Only episodes that succeeded: yes, no, unknown.")]

sub = typer.Typer(
    name="data",
    no_args_is_help=True,
    help="Recordings into data sets; check, merge, split and look at them.",
)


def register(app: typer.Typer) -> None:
    register_all(__name__, __path__, sub)
    app.add_typer(sub)
