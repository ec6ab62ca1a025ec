"""`xlvla bench training`: how many samples a second a policy learns from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla_policy.training.benchmark import TrainingSpeedReport


def register(app: typer.Typer) -> None:
    app.command("training")(training)


def training(
    preset: Annotated[str, typer.Option(help="Size of the model: tiny, small, pi0.")] = "small",
    views: Annotated[int, typer.Option(min=1, max=3, help="Cameras.")] = 1,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Observations per step; the preset's if not given.")
    ] = None,
    draws: Annotated[int | None, typer.Option(min=1, help="Noise samples per observation.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Steps to time.")] = 5,
    precision: Annotated[str, typer.Option(help="Of matrix products: float32, bfloat16.")] = "",
    recompute: Annotated[bool | None, typer.Option(help="Gradient checkpointing.")] = None,
    compile: Annotated[bool, typer.Option("--compile", help="Compile the layers.")] = False,
    freeze: Annotated[
        str, typer.Option(help="Parts whose weights are frozen: vision, language, action.")
    ] = "",
    lora: Annotated[
        str,
        typer.Option(help="Parts trained with LoRA, with their rank: language=16,action=32."),
    ] = "",
    device: Annotated[
        str, typer.Option(help="cpu or cuda; cuda where there is one if not given.")
    ] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="Processor threads.")] = 2,
) -> None:
    """Time steps of training on a made-up demonstration, stage by stage."""
    from dataclasses import replace

    from xlvla.screen import Screen
    from xlvla_cli.bench.policy import VIEWS
    from xlvla_cli.train import chosen_recipe
    from xlvla_policy.training import benchmark, parallel, recipe
    from xlvla_policy.vla import config

    options = {
        "batch": batch,
        "draws": draws,
        "precision": precision,
        "recompute": recompute,
        "compile": compile,
    }
    chosen = chosen_recipe(recipe.usual(preset), options | {"freeze": freeze, "lora": lora})
    with Screen() as screen:
        shape = replace(config.preset(preset), cameras=VIEWS[:views])
        report = benchmark.measure(
            shape,
            chosen,
            parallel.join(device),
            threads=threads,
            rounds=rounds,
            progress=screen.now,
        )
        screen.console.print(
            _table(
                report,
                f"{preset}, {views} view{'s' * (views > 1)}, batches of {chosen.batch} x "
                f"{chosen.draws}",
            )
        )


def _table(report: TrainingSpeedReport, title: str) -> Table:
    from rich.table import Table

    table = Table("stage", "p50 ms", "of a step", "processor ms", "GFLOP", "GFLOP/s", "of the best")
    table.title = (
        f"{title}: {report.parameters / 1e6:.1f} M weights, {report.samples_per_s:.1f} samples/s"
    )
    for stage in report.stages:
        work = (
            f"{stage.flops / 1e9:.1f}",
            f"{stage.flops / stage.median_s / 1e9:.1f}",
            f"{stage.flops / stage.median_s / report.rate:.0%}",
        )
        times = (
            f"{1e3 * stage.median_s:.1f}",
            f"{stage.median_s / report.step_s:.0%}",
            f"{1e3 * stage.cpu_s:.1f}",
        )
        table.add_row(stage.name, *times, *(work if stage.flops else ("", "", "")))
    best = f"{report.rate / 1e9:.1f} GFLOP/s in a large matrix product"
    table.caption = f"this machine: {best}; {report.memory_bytes / 1e9:.2f} GB at most"
    return table
