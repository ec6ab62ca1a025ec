"""`xlvla codec show`: the same latents on every hand, as a picture or as a film."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xlvla.cli.codec import Weights, app


def register(main: typer.Typer) -> None:
    app.command("show")(show)


def show(
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("out/codec.png"),
    path: Annotated[Path | None, typer.Option(help="Film a path through the latent instead: mp4 or GIF to write.")] = None,
    weights: Weights = None,
    side: Annotated[str, typer.Option(help="right or left.")] = "right",
    source: Annotated[str, typer.Option(help="Hand whose poses are encoded.")] = "inspire",
) -> None:
    """Draw the same latents decoded by every hand, or a path through them."""
    from xlvla.codec import Codec
    from xlvla.errors import unknown
    from xlvla.types import SIDES
    from xlvla_policy.latent.figure import animate, draw

    if side not in SIDES:
        raise unknown("side", side, SIDES)
    codec = Codec.load(weights)
    codec.joints(source, side)
    (animate if path else draw)(codec, path or out, source, side)
    typer.echo(str(path or out))
