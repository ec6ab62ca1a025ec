"""`xlvla hand`: bring a maker's hand in, and look at it."""

from __future__ import annotations

import typer

from xlvla_cli.commands import register_all

hand = typer.Typer(
    no_args_is_help=True,
    help="Hands of other makers: from their files to an entry, and pictures of it.",
)


def register(app: typer.Typer) -> None:
    register_all(__name__, __path__, hand)
    app.add_typer(hand, name="hand")
