"""`xlvla codec`: train, measure, picture and carry away the latent codec."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xlvla_cli.commands import register_all

Weights = Annotated[Path | None, typer.Option(help="Weights file; the shipped one if not given.")]
Threads = Annotated[
    int, typer.Option(min=1, help="Processor threads; one repeats a run to the bit.")
]

codec = typer.Typer(
    no_args_is_help=True,
    help="The latent all hands share: train, measure and picture its encoders and decoders.",
)


def register(app: typer.Typer) -> None:
    register_all(__name__, __path__, codec)
    app.add_typer(codec, name="codec")
