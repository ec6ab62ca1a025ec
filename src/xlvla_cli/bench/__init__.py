"""`xlvla bench`: how fast and how regular, measured on this machine."""

from __future__ import annotations

import typer

from xlvla_cli.commands import register_all

bench = typer.Typer(
    no_args_is_help=True, help="Benchmarks of speed and regularity on this machine."
)


def register(app: typer.Typer) -> None:
    register_all(__name__, __path__, bench)
    app.add_typer(bench, name="bench")
