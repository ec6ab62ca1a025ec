"""`xlvla codec show`: the same latents on every hand, as a picture or as a film."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla_cli.codec import Weights
from xlvla_cli.options import HandSide

if TYPE_CHECKING:
    from xlvla.codec import Codec
    from xlvla.types import Side


def register(app: typer.Typer) -> None:
    app.command("show")(show)


def show(
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("out/codec.png"),
    path: Annotated[
        Path | None,
        typer.Option(help="Film a path through the latent instead: mp4 or GIF to write."),
    ] = None,
    weights: Weights = None,
    side: HandSide = "right",
    source: Annotated[str, typer.Option(help="Hand whose poses are encoded.")] = "inspire",
    human: Annotated[
        bool, typer.Option("--human", help="Encode poses of an operator's hand instead.")
    ] = False,
) -> None:
    """Draw the same latents decoded by every hand, or a path through them."""
    from xlvla.codec import Codec
    from xlvla.errors import unknown
    from xlvla.types import SIDES
    from xlvla_policy.latent.figure import animate, draw

    if side not in SIDES:
        raise unknown("side", side, SIDES)
    codec = Codec.load(weights)
    written = out
    if human:
        _draw_human(codec, out, side)
    else:
        # Refuses a hand that the codec does not know.
        codec.joints(source, side)
        if path:
            written = path
            animate(codec, path, source, side)
        else:
            draw(codec, out, source, side)
    typer.echo(str(written))


def _draw_human(codec: Codec, out: Path, side: Side) -> None:
    from xlvla.human_codec import HumanCodec
    from xlvla_policy.latent import human_figure

    human_figure.draw(codec, HumanCodec.load(codec), out, side)
