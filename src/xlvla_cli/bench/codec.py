"""`xlvla bench codec`: how fast the latent codec is, and how near it comes, beside other ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla_cli.options import FiguresOut

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from xlvla.codec import Codec
    from xlvla_policy.latent.benchmark import RunTime, Steps
    from xlvla_policy.latent.comparison import Errors, Quality, RetargetingSpeed

POSES = 32
"""Poses per hand that the paths of the comparison of speed are made of."""
DEX = (
    "dex is dex-retargeting with its defaults, scaling 1 and no low-pass filter; every frame "
    "starts from the one before"
)


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
    import json

    from xlvla import screen
    from xlvla.codec import Codec

    loaded = Codec.load(weights)
    console = screen.console()
    figures = {
        "codec": loaded.hash,
        **_speed(loaded, left_hand, right_hand, rounds, threads, console),
    }
    if quality:
        figures["quality"] = _quality(loaded, poses, cache, console)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(figures, indent=2) + "\n")


def _speed(
    loaded: Codec, left: str, right: str, rounds: int, threads: int | None, console: Console
) -> dict[str, Any]:
    """Prints the tables of speed; their figures."""
    import os
    from dataclasses import asdict

    from xlvla_policy.latent.agreement import differences
    from xlvla_policy.latent.baselines.dex import KINDS, missing
    from xlvla_policy.latent.benchmark import run_times, training_steps
    from xlvla_policy.latent.comparison import paces, scene

    ways = run_times(loaded, ((left, "left"), (right, "right")))
    console.print(_run_time_table(ways, f"{left} + {right}", loaded.hash))
    apart = differences(loaded)
    console.print(
        "largest difference to torch: "
        + ", ".join(f"{way} {value:.1e}" for way, value in apart.items()),
        soft_wrap=True,
    )
    absent = missing()
    beside = paces(loaded, scene(loaded.founders.hands, POSES), () if absent else tuple(KINDS))
    console.print(_pace_table(beside))
    console.print(absent or DEX, soft_wrap=True)
    steps = training_steps(rounds, threads=threads or os.cpu_count() or 1)
    console.print(_steps_table(steps))
    return {
        "run_time_s": [asdict(way) for way in ways],
        "difference_to_torch": apart,
        "retargeting": [asdict(pace) for pace in beside],
        "training_step_s": asdict(steps),
        "times_as_fast": {"float32": steps.ratio, "bfloat16": steps.coarse_ratio},
    }


def _quality(loaded: Codec, poses: int, cache: Path, console: Console) -> list[dict[str, Any]]:
    """Prints the table of quality; its figures."""
    from dataclasses import asdict

    from xlvla_policy.latent.baselines.dex import KINDS, missing
    from xlvla_policy.latent.comparison import dex, limit, quality, scene, through

    hands = loaded.founders.hands
    with console.status("training"):
        ways = {
            "this codec": through(loaded),
            **{name: through(trained) for name, trained in _trained(hands, cache, console).items()},
        }
    ways |= {} if missing() else {f"dex, {kind}": dex(kind) for kind in KINDS}
    ways["each pose optimised (limit)"] = limit
    shown = scene(hands, poses)
    rows = []
    for name, way in ways.items():
        with console.status(f"measuring {name}"):
            rows.append(quality(name, way, shown))
    console.print(
        _quality_table(
            rows,
            f"{poses} poses per hand, right {', '.join(hands)}, all ordered pairs; lower is better",
        )
    )
    return [asdict(row) for row in rows]


def _trained(hands: Sequence[str], cache: Path, console: Console) -> Mapping[str, Codec]:
    """Codecs trained for the comparison, once: the paper's recipe, and a supervised latent."""
    from xlvla.codec import Codec
    from xlvla_policy.latent.recipe import PAPER
    from xlvla_policy.latent.training import Trainer, train

    paper = cache / f"paper-{'-'.join(hands)}.safetensors"
    if not paper.is_file():
        console.print(f"training the paper's recipe, {PAPER.steps} steps: {paper}", soft_wrap=True)
        train(Trainer(PAPER, hands), paper)
    from xlvla_cli.codec.supervised import supervised_codec

    return {
        "the paper's recipe": Codec.load(paper),
        "supervised, LAD-style": supervised_codec(hands, cache, console),
    }


def _pace_table(rows: list[RetargetingSpeed]) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    title = "a pose to another hand along smooth paths, one thread, all pairs of right hands\n"
    title += "vec: length of the difference between lines from thumb tip to fingertip"
    table = Table(
        title=title, box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False, title_justify="left"
    )
    table.add_column("", no_wrap=True)
    headings = (
        "us per\nframe",
        "times\nours",
        "nearest\ndeg",
        "nearest\nvec mm",
        "all\ndeg",
        "all\nvec mm",
    )
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        errors = [
            f"{value:.1f}"
            for kind in (row.nearest, row.all)
            for value in (kind.direction_deg, kind.vector_mm)
        ]
        table.add_row(
            row.way, f"{1e6 * row.frame_s:.1f}", f"{row.frame_s / rows[0].frame_s:.1f}", *errors
        )
    return table


def _quality_table(rows: list[Quality], title: str) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(
        title=title, box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False, title_justify="left"
    )
    table.add_column("", no_wrap=True)
    for heading in (
        f"{lines}\n{unit}" for lines in ("pinch", "random") for unit in ("deg", "mm", "vec mm")
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.way, *_cells(row.pinch), *_cells(row.random))
    return table


def _cells(errors: Errors) -> list[str]:
    return [
        f"{value:.1f}" for value in (errors.direction_deg, errors.distance_mm, errors.vector_mm)
    ]


def _run_time_table(ways: list[RunTime], hands: str, name: str) -> Table:
    from rich.table import Table

    rows = {
        "decode chunk": "decode a chunk, 2 hands x 64 frames",
        "decode frame": "decode one frame of one hand",
        "encode chunk": "encode a chunk",
        "encode frame": "encode one frame of one hand",
        "load": "load (these two hands; numpy: all)",
    }
    table = Table(
        "microseconds, median (95%)",
        *(f"{way.way}, one thread" if way.way == "onnxruntime" else way.way for way in ways),
    )
    table.title = f"codec {name}, {hands}"
    for task, title in rows.items():
        table.add_row(
            title,
            *(
                f"{1e6 * way.tasks[task].median:.0f} ({1e6 * way.tasks[task].p95:.0f})"
                for way in ways
            ),
        )
    return table


def _steps_table(steps: Steps) -> Table:
    from rich.table import Table

    title = (
        f"training step, paper's recipe, batch 1024 x 4 hands, {steps.threads} "
        f"thread{'s' * (steps.threads > 1)}"
    )
    table = Table(title, "ms, median (95%)", "times as fast")
    rows = {
        "per-joint loops, pair by pair": (steps.loops, 1.0),
        "ours, batched over the tree's levels": (steps.ours, steps.ratio),
        "ours, hidden layers in bfloat16": (steps.coarse, steps.coarse_ratio),
    }
    for name, (timing, ratio) in rows.items():
        table.add_row(name, f"{1e3 * timing.median:.0f} ({1e3 * timing.p95:.0f})", f"{ratio:.1f}")
    return table
