"""`xlvla codec train`, `add`, `export` and `convert`: weights of the codec, made and carried
away.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from xlvla import paper
from xlvla_cli.codec import Threads, Weights
from xlvla_cli.options import Seed, WeightsOut, listed


def register(app: typer.Typer) -> None:
    app.command("train")(train_command)
    app.command("add")(add_command)
    app.command("export")(export_command)
    app.command("convert")(convert_command)


def train_command(
    preset: Annotated[
        str, typer.Option(help="Recipe: contact, tips, quick, paper or apart.")
    ] = "contact",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the right hands; the recipe's if not given.")
    ] = None,
    out: WeightsOut = Path("out/codec.safetensors"),
    resume: Annotated[
        bool, typer.Option(help="Resume from the checkpoint next to OUT, if there is one.")
    ] = False,
    hands: Annotated[
        str, typer.Option(help="Hands, comma-separated, or all; the paper's four if not given.")
    ] = ",".join(paper.HANDS),
    seed: Seed = 0,
    threads: Threads = 1,
) -> None:
    """Train encoders and decoders of hands that shape a latent together, on random poses, then
    print the metrics.
    """
    from dataclasses import replace

    from xlvla_cli.codec.eval import measured
    from xlvla_policy.latent.recipe import preset as recipe_of
    from xlvla_policy.latent.training import Trainer, on_threads, train

    on_threads(threads)
    recipe = recipe_of(preset)
    trainer = Trainer(
        replace(recipe, steps=steps or recipe.steps), () if hands == "all" else listed(hands), seed
    )
    _with_progress(lambda report: train(trainer, out, resume, report), trainer.steps)
    measured(out)
    typer.echo(f"trained for {trainer.seconds / 60:.1f} CPU minutes")


def add_command(
    hand: Annotated[
        str, typer.Argument(help="A hand of the catalogue or XLVLA_HANDS that the codec lacks.")
    ],
    weights: Weights = None,
    out: Annotated[Path, typer.Option(help="Weights file to write, with every hand.")] = Path(
        "out/codec.safetensors"
    ),
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps; some three minutes if not given.")
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Resume from the checkpoint next to OUT, if there is one.")
    ] = False,
    seed: Seed = 0,
    threads: Threads = 1,
) -> None:
    """Train encoder and decoder of one new hand for the existing latent; other hands, and policies
    trained with them, do not change.
    """
    from xlvla.codec import SHIPPED, VARIABLE, in_use
    from xlvla_cli.codec.eval import measured
    from xlvla_policy.latent.new_hand import NewHandTrainer, add
    from xlvla_policy.latent.training import on_threads

    on_threads(threads)
    run = NewHandTrainer(weights or in_use(), hand, steps, seed)
    _with_progress(lambda report: add(run, out, report, resume=resume), run.trainer.steps)
    measured(out, hand)
    typer.echo(f"trained for {run.trainer.seconds / 60:.1f} CPU minutes")
    used = Path(os.environ.get(VARIABLE, SHIPPED)).resolve()
    if out.resolve() != used:
        typer.echo(f"export {VARIABLE}={out.resolve()}   # and every command knows '{hand}'")


def export_command(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("out/onnx"),
    weights: Weights = None,
) -> None:
    """Write every encoder and decoder as ONNX, limits and normalisation inside, and codec.json that
    names them.
    """
    from xlvla.codec import Codec
    from xlvla_policy.latent.export import export

    written = export(Codec.load(weights), out)
    typer.echo(
        f"{out}: {len(written) - 1} ONNX files and {written[-1].name}, "
        f"{sum(path.stat().st_size for path in written) / 1e6:.1f} MB"
    )


def convert_command(
    file: Annotated[
        Path, typer.Argument(help="Checkpoint of the paper's released code (DexLatent), *.pt.")
    ],
    out: WeightsOut = Path("out/released.safetensors"),
) -> None:
    """Import a codec trained with the paper's released code, and print its metrics."""
    from xlvla_cli.codec.eval import measured
    from xlvla_policy.latent.released import convert

    convert(file, out)
    measured(out)


def _with_progress(run, steps: int) -> None:
    """Runs `run(report)` behind a progress bar; `report(step, losses)` moves it."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("codec"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[losses]}"),
    )
    with Progress(*columns) as progress:
        task = progress.add_task("train", total=steps, losses="")

        def report(step: int, losses) -> None:
            progress.update(task, completed=step)
            if step % 10 == 0:
                text = (
                    f"reconstruction {losses.reconstruction.item():.5f} rad^2, retargeting "
                    f"{losses.retargeting.item():.3f}"
                )
                progress.update(task, losses=text)

        run(report)
