"""`xlvla data check`: what is wrong with data sets."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla.errors import XlvlaError
from xlvla.text import plain
from xlvla_cli.data import Folders
from xlvla_cli.tables import counted

if TYPE_CHECKING:
    from rich.progress import Progress


def register(app: typer.Typer) -> None:
    app.command("check")(check)


def check(
    datasets: Folders,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Do not decode images: check files, numbers, stamps and statistics only.",
        ),
    ] = False,
) -> None:
    """Check data sets: every file, number and image. Prints a line per issue; exit code 1 if there
    is one.
    """
    from rich.progress import Progress

    from xlvla.screen import console
    from xlvla_data import store

    roots: list[Path] = []
    for folder in datasets:
        inside = store.roots(folder)
        if not inside:
            raise XlvlaError(f"no data set in {folder}")
        roots += inside
    issues = 0
    with Progress(transient=True, disable=not sys.stdout.isatty(), console=console()) as progress:
        for root in roots:
            for line in _of(root, quick, progress):
                issues += 1
                progress.console.print(plain(line), soft_wrap=True)
    verdict = counted(issues, "issue") if issues else "nothing is wrong"
    print(f"{counted(len(roots), 'data set')}: {verdict}")
    raise typer.Exit(1 if issues else 0)


def _of(root: Path, quick: bool, progress: Progress) -> Iterator[str]:
    from rich.markup import escape

    from xlvla_data.validation import Inspection

    try:
        inspection = Inspection(root, looked=not quick)
        episodes = inspection.episodes
    except XlvlaError as error:
        yield str(error)
        return
    # What is left out is no issue of the data set
    for line in inspection.data.notes:
        progress.console.print(plain(f"{root.name}: {line}"), soft_wrap=True)
    for line in inspection.before():
        yield f"{root.name}: {line}"
    for row in progress.track(episodes, description=escape(plain(root.name))):
        for line in inspection.of(row):
            yield f"{root.name}/{row.index}: {line}"
    for line in inspection.after():
        yield f"{root.name}: {line}"
