"""`xlvla arm`: bring a maker's arm in."""

from __future__ import annotations

import typer

from xlvla_cli.commands import register_all

arm = typer.Typer(no_args_is_help=True, help="Arms of other makers: from their files to an entry.")


@arm.callback()
def _group() -> None:
    """A group although it has one command."""


def register(app: typer.Typer) -> None:
    register_all(__name__, __path__, arm)
    app.add_typer(arm, name="arm")
