"""`xlvla demo`: what this project does, in a few minutes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla import rig_file
from xlvla.types import FIRST_EVALUATION_SEED
from xlvla_cli.options import Checkpoint, OwnDomain

if TYPE_CHECKING:
    from xlvla.rig import Rig
    from xlvla.screen import Screen

HANDS = ("xhand", "inspire")


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for video.mp4, summary.json and hands.png.")
    ] = Path("out/demo"),
    episodes: Annotated[int, typer.Option(min=1, help="Total number of episodes.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the first episode.")] = FIRST_EVALUATION_SEED,
    checkpoint: Checkpoint = None,
    domain: OwnDomain = None,
) -> None:
    """Simulated episodes on the real ROS graph with two pairs of hands, one set of weights; writes
    video, figures, picture.
    """
    from xlvla.run import interruptible, own_domain
    from xlvla.screen import Screen
    from xlvla_cli.ros.report import run_episodes, show, write
    from xlvla_cli.run import film, ready_or_raise

    runs = list(_runs(episodes, seed, checkpoint))
    for rig, _ in runs:
        ready_or_raise(rig)
    out.mkdir(parents=True, exist_ok=True)
    with Screen() as screen, interruptible():
        _picture(out / "hands.png", screen)
        reports = [
            run_episodes(
                rig, count, screen, domain=own_domain() if domain is None else domain, record=True
            )
            for rig, count in runs
        ]
        film(reports, out / "video.mp4", screen)
        show(reports, screen)
        write(out, reports)
        screen.say(
            "written: "
            + ", ".join(str(out / name) for name in ("video.mp4", "summary.json", "hands.png"))
        )


def _runs(episodes: int, seed: int, checkpoint: str | None) -> Iterator[tuple[Rig, int]]:
    """Rigs and how many episodes each gets; every episode has a seed of its own."""

    second = episodes // 2
    for hand, count, first in (
        (HANDS[0], episodes - second, seed),
        (HANDS[1], second, seed + episodes - second),
    ):
        if count:
            yield (
                rig_file.with_choices(
                    rig_file.load("bimanual"),
                    hands={"left": hand, "right": hand},
                    seed=first,
                    checkpoint=checkpoint,
                ),
                count,
            )


def _picture(path: Path, screen: Screen) -> None:
    """The same latents, decoded by every hand."""
    from xlvla.codec import Codec
    from xlvla_policy.latent import figure

    screen.now("drawing the same latents on every hand")
    figure.draw(Codec.load(), path)
