"""`xlvla bench training`: how many samples a second a policy learns from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla_cli.dataclass_options import options_of
from xlvla_cli.options import ComputeDevice, Views
from xlvla_cli.train import Precision
from xlvla_policy.training.recipe import Recipe

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla_policy.training.benchmark import TrainingSpeedReport


NOT_TIMED = ("steps", "minutes", "bf16", "augmentation")
"""Fields of a recipe that a few timed steps do not ask for."""


def register(app: typer.Typer) -> None:
    app.command("training")(training)


@options_of(skip=NOT_TIMED, recipe=Recipe)
def training(
    *,
    preset: Annotated[str, typer.Option(help="Size of the model: tiny, small, pi0.")] = "small",
    views: Views = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Steps to time.")] = 5,
    precision: Precision = "",
    device: ComputeDevice = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Processor threads.")] = 2,
    recipe: Mapping[str, Any],
) -> None:
    """Time steps of training on a made-up demonstration, stage by stage."""
    from dataclasses import replace

    from xlvla.screen import Screen
    from xlvla_cli.bench.policy import VIEWS
    from xlvla_cli.tables import counted
    from xlvla_policy.training import benchmark, parallel
    from xlvla_policy.training.recipe import changed, usual
    from xlvla_policy.vla import config

    timed = changed(usual(preset), recipe, precision)
    with Screen() as screen:
        shape = replace(config.preset(preset), cameras=VIEWS[:views])
        report = benchmark.measure(
            shape,
            timed,
            parallel.join(device),
            threads=threads,
            rounds=rounds,
            progress=screen.now,
        )
        batches = f"batches of {timed.batch} x {timed.draws}"
        title = f"{preset}, {counted(views, 'view')}, {batches}"
        screen.console.print(_table(report, title))


def _table(report: TrainingSpeedReport, title: str) -> Table:
    from rich.table import Table

    table = Table("stage", "p50 ms", "of a step", "processor ms", "GFLOP", "GFLOP/s", "of the best")
    table.title = (
        f"{title}: {report.parameters / 1e6:.1f} M weights, {report.samples_per_s:.1f} samples/s"
    )
    for stage in report.stages:
        cells = [
            stage.name,
            f"{1e3 * stage.median_s:.1f}",
            f"{stage.median_s / report.step_s:.0%}",
            f"{1e3 * stage.cpu_s:.1f}",
        ]
        # Stages that do not run the network have no operations to count.
        if stage.flops:
            flops_per_s = stage.flops / stage.median_s
            cells += [
                f"{stage.flops / 1e9:.1f}",
                f"{flops_per_s / 1e9:.1f}",
                f"{flops_per_s / report.rate:.0%}",
            ]
        table.add_row(*cells)
    best = f"{report.rate / 1e9:.1f} GFLOP/s in a large matrix product"
    table.caption = f"this machine: {best}; {report.memory_bytes / 1e9:.2f} GB at most"
    return table
