"""`xlvla calibrate`: what no data sheet says, of a device and of an operator's hand."""

from __future__ import annotations

import typer

from xlvla_cli.commands import register_all

calibrate = typer.Typer(
    no_args_is_help=True,
    help="What no data sheet says: angles of a device's joints, and an operator's own hand.",
)


def register(app: typer.Typer) -> None:
    register_all(__name__, __path__, calibrate)
    app.add_typer(calibrate, name="calibrate")
