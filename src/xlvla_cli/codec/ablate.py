"""`xlvla codec ablate`: what each part of the codec's recipe is worth."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla_cli.options import Seed, listed

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.table import Table

    from xlvla_policy.latent.ablation import Ablation, Row
    from xlvla_policy.latent.recipe import Recipe


def register(app: typer.Typer) -> None:
    app.command("ablate")(ablate)


def ablate(
    preset: Annotated[
        str, typer.Option(help="Recipe to take apart: paper, quick or default.")
    ] = "paper",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of every row; the recipe's if not given.")
    ] = None,
    hands: Annotated[
        str,
        typer.Option(
            help="Hands, comma-separated; those that shaped the shipped latent if not given."
        ),
    ] = "",
    out: Annotated[
        Path,
        typer.Option(help="Folder of the rows' files; existing rows are not trained again."),
    ] = Path("out/ablation"),
    seed: Seed = 0,
    poses: Annotated[
        int, typer.Option(min=64, help="Poses per hand that rows are measured on.")
    ] = 512,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads; as many as cores by default.")
    ] = None,
) -> None:
    """Reprint the paper's ablation: without parts of the retargeting loss, with other hidden
    widths, with latents of 8 to 128.
    """
    import json
    from dataclasses import asdict

    from xlvla import screen
    from xlvla.codec import Codec
    from xlvla_policy.latent.ablation import Ablation, variants
    from xlvla_policy.latent.recipe import preset as recipe_of

    names = listed(hands) or Codec.load().founders.hands
    recipe = recipe_of(preset)
    recipes = variants(recipe, steps)
    rows = _run(Ablation(recipe, names, out, seed, poses, threads), recipes)
    # Every row takes as many steps.
    trained_steps = next(iter(recipes.values())).steps
    title = f"recipe {preset}, {trained_steps} steps, right {', '.join(names)}"
    screen.console().print(_table(rows, title))
    table = out / "table.json"
    table.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    typer.echo(str(table))


def _run(ablation: Ablation, recipes: Mapping[str, Recipe]) -> list[Row]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    rows: list[Row] = []
    with Progress(*columns) as progress:
        overall = progress.add_task("rows", total=len(recipes))
        for name, recipe in recipes.items():
            task = progress.add_task(name, total=recipe.steps)
            rows.append(ablation.row(name, recipe, partial(_show_step, progress, task)))
            progress.remove_task(task)
            progress.advance(overall)
    return rows


def _show_step(progress: Progress, task: TaskID, step: int) -> None:
    progress.update(task, completed=step)


def _table(rows: list[Row], title: str) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    from xlvla_policy.latent.metric import ABLATED

    table = Table(
        title=f"{title}; lower is better", box=SIMPLE, padding=(0, 1, 0, 0), title_justify="left"
    )
    table.add_column("", no_wrap=True)
    for metric in ABLATED:
        table.add_column(metric.heading, justify="right", no_wrap=True)
    for row in rows:
        cells = [_cell(row.metrics[metric.key]) for metric in ABLATED]
        table.add_row(row.name, *cells)
    return table


def _cell(value: float) -> str:
    return f"{value:.4f}" if value < 0.1 else f"{value:.2f}"
