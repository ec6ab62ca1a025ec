"""What the commands that push to the Hub and pull from it have in common."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla.text import plain

if TYPE_CHECKING:
    from xlvla.hub.pull import Pulled
    from xlvla.hub.push import Pushed

Target = Annotated[str, typer.Argument(help="Repository to push to: user/name.")]
Source = Annotated[str, typer.Argument(help="Repository: user/name, or user/name@revision.")]
Public = Annotated[
    bool,
    typer.Option("--public", help="Let everybody see the repository, if it is made by this push."),
]
License = Annotated[
    str, typer.Option(help="License that the card names, such as apache-2.0 or cc-by-4.0.")
]


def folder_of(repository: str, parent: str) -> Path:
    """Where a repository is pulled to if nothing else is said: its name in `parent`."""
    return Path(parent) / repository.partition("@")[0].rpartition("/")[2]


def print_pushed(pushed: Pushed) -> None:
    """Where it is now, and what else happened."""
    if not pushed.changed:
        typer.echo(f"nothing has changed since {plain(pushed.page)}")
        return
    removed = f", {pushed.removed} files removed" if pushed.removed else ""
    typer.echo(f"{plain(pushed.page)}{removed}")
    if pushed.kept_card:
        typer.echo("its README.md was written by somebody and stays")


def print_pulled(place: Path, pulled: Pulled) -> None:
    """What lies where, and what of it was fetched."""
    fetched = f"{pulled.fetched} files fetched" if pulled.fetched else "all was there"
    if pulled.offline:
        fetched = "HF_HUB_OFFLINE: as it was pulled before"
    commit = plain(pulled.commit[:12])
    typer.echo(plain(f"{place}: commit {commit}, {pulled.size / 1e6:.1f} MB, {fetched}"))
