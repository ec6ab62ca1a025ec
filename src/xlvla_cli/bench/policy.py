"""`xlvla bench policy`: how long a policy thinks, beside what the machine can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from xlvla_cli.options import ComputeDevice, FiguresOut, Views

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla_policy.vla.benchmark import PolicySpeedReport

VIEWS = ("base", "left_wrist", "right_wrist")


def register(app: typer.Typer) -> None:
    app.command("policy")(policy)


def policy(
    preset: Annotated[
        str, typer.Option(help="Size of the model: tiny, small, pi0, pi0_base.")
    ] = "small",
    views: Views = 1,
    engines: Annotated[
        str,
        typer.Option(help="Inference engines, comma-separated: torch, captured, compiled, onnx."),
    ] = "torch,captured",
    rounds: Annotated[int, typer.Option(min=1, help="Chunks to time.")] = 20,
    device: ComputeDevice = "auto",
    precision: Annotated[
        str,
        typer.Option(
            help="float32, bfloat16, float16, float8; float32 on the CPU, else bfloat16, if not "
            "given."
        ),
    ] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads; one per core by default.")
    ] = None,
    out: FiguresOut = None,
) -> None:
    """Time a policy's inference of one chunk with random weights by stage, against the machine's
    matrix product and copy rates.
    """
    from dataclasses import asdict, replace

    from xlvla.screen import Screen
    from xlvla_cli.bench.figures import save
    from xlvla_cli.tables import counted
    from xlvla_policy.vla import benchmark, config

    names = [name.strip() for name in engines.split(",")]
    shape = replace(config.preset(preset), cameras=VIEWS[:views])
    subject = benchmark.Subject(shape, names, device, precision)
    with Screen() as screen:
        report = benchmark.measure(subject, threads=threads, rounds=rounds, progress=screen.now)
        screen.console.print(_table(report, f"{preset}, {counted(views, 'view')}"))
    save(out, {"preset": preset, "views": views, **asdict(report)})


def _table(report: PolicySpeedReport, title: str) -> Table:
    from rich.table import Table

    from xlvla_cli.tables import counted

    machine = report.machine
    # The whole chunk by engine; the first engine is what the others are compared with.
    chunks = report.chunks
    first = next(iter(chunks.values()))
    table = Table(
        "engine",
        "stage",
        "p50 ms",
        "p99 ms",
        "GFLOP",
        "GFLOP/s",
        "weights MB",
        "GB/s",
        "of the bound",
        f"x {first.engine}",
    )
    table.title = (
        f"{title}: {report.parameters / 1e6:.1f} M weights on {machine.device}, "
        f"{report.memory_bytes / 1e9:.2f} GB at most"
    )
    for stage in report.stages:
        speedup = ""
        if stage is chunks[stage.engine]:
            speedup = f"{first.median_s / stage.median_s:.2f}"
        table.add_row(
            stage.engine,
            stage.name,
            f"{1e3 * stage.median_s:.2f}",
            f"{1e3 * stage.p99_s:.2f}",
            f"{stage.flops / 1e9:.2f}",
            f"{stage.flops / stage.median_s / 1e9:.1f}",
            f"{stage.bytes / 1e6:.1f}",
            f"{stage.bytes / stage.median_s / 1e9:.2f}",
            f"{stage.bound_s(machine) / stage.median_s:.0%}",
            speedup,
        )
    table.caption = (
        f"this machine: {machine.flops / 1e9:.1f} GFLOP/s in a large matrix product, "
        f"{machine.bytes / 1e9:.2f} GB/s in a large copy, {counted(machine.threads, 'thread')}"
    )
    return table
