"""`xlvla hand show`: a page with pictures of a hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    app.command("show")(show)


def show(
    name: Annotated[str, typer.Argument(help="A hand of the catalogue or of XLVLA_HANDS.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Page to write, one file; out/hand_NAME.html if not given."),
    ] = None,
) -> None:
    """Draw shapes over the maker's mesh, tips, frames, limits, a closing fist and every pinch."""
    from xlvla import catalog
    from xlvla_cli.hand import page

    hand = catalog.hand(name)
    file = out or Path(f"out/hand_{name}.html")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page.document(hand))
    typer.echo(str(file))
