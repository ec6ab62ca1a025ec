"""`xlvla codec human`: teach the operator's hand the latent, against every robot hand of a
codec.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla_cli.codec import Threads, Weights
from xlvla_cli.options import Seed, WeightsOut

if TYPE_CHECKING:
    from xlvla_policy.latent.human import HumanLosses

SHOWN_EVERY = 10
"""Steps after which the losses are shown again."""


def register(app: typer.Typer) -> None:
    app.command("human")(human)


def human(
    weights: Weights = None,
    out: WeightsOut = Path("out/human.safetensors"),
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps; some three minutes if not given.")
    ] = None,
    seed: Seed = 0,
    threads: Threads = 1,
) -> None:
    """Teach the operator's hand the latent: keypoints of any tracker then drive every hand. No
    robot hand's networks change.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    from xlvla.codec import SHIPPED
    from xlvla_policy.latent.human import STEPS, HumanRun, train
    from xlvla_policy.latent.training import on_threads

    on_threads(threads)
    columns = (
        TextColumn("human hand"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
    )
    total = steps or STEPS
    with Progress(*columns) as progress:
        # People are made up before the first step, which takes a while.
        task = progress.add_task("train", total=total, losses="random people")
        run = HumanRun(weights or SHIPPED, total, seed)

        def report(step: int, losses: HumanLosses) -> None:
            progress.update(task, completed=step)
            if step % SHOWN_EVERY == 0:
                progress.update(task, losses=_line(losses))

        train(run, out, report)
    typer.echo(
        f"{out}: speaks the latent of codec {run.codec.hash}; trained for {run.seconds / 60:.1f} "
        "CPU minutes"
    )


def _line(losses: HumanLosses) -> str:
    return ", ".join(f"{name} {value.item():.3f}" for name, value in vars(losses).items())
