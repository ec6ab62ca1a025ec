"""`xlvla data`: from recordings to data sets that can be trusted."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla.text import plain
from xlvla_cli.commands import register_all

if TYPE_CHECKING:
    from xlvla_data.store import Stored

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


def print_notes(episodes: Iterable[Stored]) -> None:
    """What is left out of the data sets of these episodes, and what is taken for granted."""
    data_sets = {stored.data.root: stored.data for stored in episodes}
    for root, data in data_sets.items():
        for line in data.notes:
            typer.echo(plain(f"{root.name}: {line}"))


sub = typer.Typer(
    name="data",
    no_args_is_help=True,
    help="Recordings into data sets; check, merge, split and look at them.",
)


def register(app: typer.Typer) -> None:
    register_all(__name__, __path__, sub)
    app.add_typer(sub)
