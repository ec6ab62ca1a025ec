"""`xlvla bench codec`: how fast the latent codec is, and how near it comes, beside other ways."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla_cli.options import FiguresOut

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from xlvla.codec import Codec
    from xlvla_policy.latent.benchmark import RunTime, Steps, Timing
    from xlvla_policy.latent.comparison import Errors, Method, Quality, RetargetingSpeed

POSES = 32
"""Poses per hand that the paths of the comparison of speed are made of."""

DEX = (
    "dex is dex-retargeting with its defaults, scaling 1 and no low-pass filter; every frame "
    "starts from the one before"
)

TASKS = {
    "decode chunk": "decode a chunk, 2 hands x 64 frames",
    "decode frame": "decode one frame of one hand",
    "encode chunk": "encode a chunk",
    "encode frame": "encode one frame of one hand",
    "load": "load (these two hands; numpy: all)",
}
"""What is timed at run time, and how its row reads."""


def register(app: typer.Typer) -> None:
    app.command("codec")(codec)


def codec(
    weights: Annotated[
        Path | None, typer.Option(help="Weights file; the shipped one if not given.")
    ] = None,
    left_hand: Annotated[str, typer.Option(help="Left hand of the chunk.")] = "inspire",
    right_hand: Annotated[
        str, typer.Option(help="Right hand of the chunk, and of the single frame.")
    ] = "xhand",
    rounds: Annotated[int, typer.Option(min=2, help="Training steps of each trainer.")] = 5,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads in training; as many as cores by default.")
    ] = None,
    quality: Annotated[
        bool,
        typer.Option(
            help="Also compare the accuracy of other methods; trains two of them, which "
            "takes minutes."
        ),
    ] = False,
    poses: Annotated[int, typer.Option(min=16, help="Poses per hand of that comparison.")] = 64,
    cache: Annotated[
        Path, typer.Option(help="Folder for the models trained for the comparison.")
    ] = Path("out/bench"),
    out: FiguresOut = None,
) -> None:
    """Measure the codec at run time and in training, beside per-joint loops, dex-retargeting and
    other ways to retarget.
    """
    from xlvla import screen
    from xlvla.codec import Codec
    from xlvla_cli.bench.figures import save

    measured = Codec.load(weights)
    console = screen.console()
    figures: dict[str, Any] = {"codec": measured.hash}
    figures |= _speed(measured, left_hand, right_hand, rounds, threads, console)
    if quality:
        figures["quality"] = _quality(measured, poses, cache, console)
    save(out, figures)


def _speed(
    codec: Codec, left: str, right: str, rounds: int, threads: int | None, console: Console
) -> dict[str, Any]:
    """Prints the tables of speed; their figures."""
    import os
    from dataclasses import asdict

    from xlvla_policy.latent.agreement import differences
    from xlvla_policy.latent.baselines.dex import KINDS, missing
    from xlvla_policy.latent.benchmark import run_times, training_steps
    from xlvla_policy.latent.comparison import paces, scene

    runtimes = run_times(codec, ((left, "left"), (right, "right")))
    console.print(_run_time_table(runtimes, f"codec {codec.hash}, {left} + {right}"))

    to_torch = differences(codec)
    entries = [f"{runtime} {value:.1e}" for runtime, value in to_torch.items()]
    console.print(f"largest difference to torch: {', '.join(entries)}", soft_wrap=True)

    dex_missing = missing()
    kinds = () if dex_missing else tuple(KINDS)
    speeds = paces(codec, scene(codec.founders.hands, POSES), kinds)
    console.print(_pace_table(speeds))
    console.print(dex_missing or DEX, soft_wrap=True)

    steps = training_steps(rounds, threads=threads or os.cpu_count() or 1)
    console.print(_steps_table(steps))
    return {
        "run_time_s": [asdict(runtime) for runtime in runtimes],
        "difference_to_torch": to_torch,
        "retargeting": [asdict(speed) for speed in speeds],
        "training_step_s": asdict(steps),
        "times_as_fast": {"float32": steps.ratio, "bfloat16": steps.coarse_ratio},
    }


def _quality(codec: Codec, poses: int, cache: Path, console: Console) -> list[dict[str, Any]]:
    """Prints the table of quality; its figures."""
    from dataclasses import asdict

    from xlvla_policy.latent.comparison import quality, scene

    hands = codec.founders.hands
    methods = _methods(codec, cache, console)
    shown = scene(hands, poses)
    rows: list[Quality] = []
    for name, method in methods.items():
        with console.status(f"measuring {name}"):
            rows.append(quality(name, method, shown))
    title = f"{poses} poses per hand, right {', '.join(hands)}, all ordered pairs; lower is better"
    console.print(_quality_table(rows, title))
    return [asdict(row) for row in rows]


def _methods(codec: Codec, cache: Path, console: Console) -> dict[str, Method]:
    """The methods that are compared: the codec, other latents, dex-retargeting, the per-pose
    optimum. The other latents are trained here, where `cache` does not hold them yet.
    """
    from xlvla_cli.codec.supervised import supervised_codec
    from xlvla_policy.latent.baselines.dex import KINDS, missing
    from xlvla_policy.latent.comparison import dex, limit, through

    hands = codec.founders.hands
    with console.status("training"):
        paper = _paper_codec(hands, cache, console)
        supervised = supervised_codec(hands, cache, console)
    methods = {
        "this codec": through(codec),
        "the paper's recipe": through(paper),
        "supervised, LAD-style": through(supervised),
    }
    if not missing():
        for kind in KINDS:
            methods[f"dex, {kind}"] = dex(kind)
    methods["each pose optimised (limit)"] = limit
    return methods


def _paper_codec(hands: Sequence[str], cache: Path, console: Console) -> Codec:
    """A codec of the paper's recipe, trained once."""
    from xlvla.codec import Codec
    from xlvla_policy.latent.recipe import PAPER
    from xlvla_policy.latent.training import Trainer, train

    path = cache / f"paper-{'-'.join(hands)}.safetensors"
    if not path.is_file():
        console.print(f"training the paper's recipe, {PAPER.steps} steps: {path}", soft_wrap=True)
        train(Trainer(PAPER, hands), path)
    return Codec.load(path)


def _table(title: str, headings: Iterable[str]) -> Table:
    """An empty table of figures, whose first column names the row."""
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(
        title=title, box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False, title_justify="left"
    )
    table.add_column("", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _pace_table(rows: Sequence[RetargetingSpeed]) -> Table:
    title = (
        "a pose to another hand along smooth paths, one thread, all pairs of right hands\n"
        "vec: length of the difference between lines from thumb tip to fingertip"
    )
    headings = (
        "us per\nframe",
        "times\nours",
        "nearest\ndeg",
        "nearest\nvec mm",
        "all\ndeg",
        "all\nvec mm",
    )
    table = _table(title, headings)
    ours_s = rows[0].frame_s
    for row in rows:
        table.add_row(
            row.way,
            f"{1e6 * row.frame_s:.1f}",
            f"{row.frame_s / ours_s:.1f}",
            f"{row.nearest.direction_deg:.1f}",
            f"{row.nearest.vector_mm:.1f}",
            f"{row.all.direction_deg:.1f}",
            f"{row.all.vector_mm:.1f}",
        )
    return table


def _quality_table(rows: Sequence[Quality], title: str) -> Table:
    headings = (
        "pinch\ndeg",
        "pinch\nmm",
        "pinch\nvec mm",
        "random\ndeg",
        "random\nmm",
        "random\nvec mm",
    )
    table = _table(title, headings)
    for row in rows:
        table.add_row(row.way, *_cells(row.pinch), *_cells(row.random))
    return table


def _cells(errors: Errors) -> list[str]:
    values = (errors.direction_deg, errors.distance_mm, errors.vector_mm)
    return [f"{value:.1f}" for value in values]


def _run_time_table(runtimes: Sequence[RunTime], title: str) -> Table:
    from rich.table import Table

    table = Table("microseconds, median (95%)", title=title)
    for runtime in runtimes:
        heading = "onnxruntime, one thread" if runtime.way == "onnxruntime" else runtime.way
        table.add_column(heading)
    for task, name in TASKS.items():
        timings = [runtime.tasks[task] for runtime in runtimes]
        table.add_row(name, *(_timing_cell(timing, 1e6) for timing in timings))
    return table


def _steps_table(steps: Steps) -> Table:
    from rich.table import Table

    from xlvla_cli.tables import counted

    title = (
        f"training step, paper's recipe, batch 1024 x 4 hands, {counted(steps.threads, 'thread')}"
    )
    table = Table(title, "ms, median (95%)", "times as fast")
    rows = (
        ("per-joint loops, pair by pair", steps.loops, 1.0),
        ("ours, batched over the tree's levels", steps.ours, steps.ratio),
        ("ours, hidden layers in bfloat16", steps.coarse, steps.coarse_ratio),
    )
    for name, timing, ratio in rows:
        table.add_row(name, _timing_cell(timing, 1e3), f"{ratio:.1f}")
    return table


def _timing_cell(timing: Timing, scale: float) -> str:
    """Median and 95th percentile, in 1/`scale` seconds."""
    return f"{scale * timing.median:.0f} ({scale * timing.p95:.0f})"
