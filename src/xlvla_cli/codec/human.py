"""`xlvla codec human`: teach the operator's hand the latent, against every robot hand of a
codec.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xlvla_cli.codec import Threads, Weights
from xlvla_cli.options import Seed, WeightsOut


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
    from xlvla_policy.latent.human import STEPS, HumanLosses, HumanRun, train
    from xlvla_policy.latent.training import on_threads

    on_threads(threads)
    columns = (
        TextColumn("human hand"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
    )
    with Progress(*columns) as progress:
        task = progress.add_task("train", total=steps or STEPS, losses="random people")
        run = HumanRun(weights or SHIPPED, steps or STEPS, seed)

        def report(step: int, losses: HumanLosses) -> None:
            progress.update(task, completed=step)
            if step % 10 == 0:
                parts = ", ".join(
                    f"{name} {value.item():.3f}" for name, value in vars(losses).items()
                )
                progress.update(task, losses=parts)

        train(run, out, report)
    typer.echo(
        f"{out}: speaks the latent of codec {run.codec.hash}; trained for {run.seconds / 60:.1f} "
        "CPU minutes"
    )
