"""`xlvla codec`: train, measure, picture and carry away the latent codec."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla.codec import Codec
    from xlvla.types import Side
    from xlvla_policy.latent.metrics import Metrics

app = typer.Typer(no_args_is_help=True, help="The latent all hands share: train, measure and picture its encoders and decoders.")

Weights = Annotated[Path | None, typer.Option(help="Weights file; the shipped one if not given.")]
Hands = Annotated[str, typer.Option(help="Hands, comma-separated; all if not given.")]


def register(main: typer.Typer) -> None:
    main.add_typer(app, name="codec")


@app.command("train")
def train_command(
    preset: Annotated[str, typer.Option(help="Recipe: default or paper.")] = "default",
    steps: Annotated[int | None, typer.Option(min=1, help="Steps; the recipe's if not given.")] = None,
    out: Annotated[Path, typer.Option(help="Weights file to write.")] = Path("out/codec.safetensors"),
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint beside OUT, if there is one.")] = False,
    hands: Hands = "",
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Train encoders and decoders of all hands on random poses, then print the metrics."""
    from dataclasses import replace

    from xlvla_policy.latent.recipe import preset as recipe_of
    from xlvla_policy.latent.training import Trainer, train

    recipe = recipe_of(preset)
    trainer = Trainer(replace(recipe, steps=steps or recipe.steps), _names(hands), seed)
    _with_progress(lambda report: train(trainer, out, resume, report), trainer.steps)
    _measured(out)
    typer.echo(f"trained for {trainer.seconds / 60:.1f} minutes")


@app.command("add")
def add_command(
    hand: Annotated[str, typer.Argument(help="A hand of the catalogue that the codec does not know yet.")],
    weights: Weights = None,
    out: Annotated[Path, typer.Option(help="Weights file to write, with every hand.")] = Path("out/codec.safetensors"),
    steps: Annotated[int | None, typer.Option(min=1, help="Steps; some three minutes if not given.")] = None,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Teach one new hand the latent; all other hands, and policies trained with them, stay as they are."""
    from xlvla.codec import SHIPPED
    from xlvla_policy.latent.newcomer import STEPS, Newcomer, add

    run = Newcomer(weights or SHIPPED, hand, steps or STEPS, seed)
    _with_progress(lambda report: add(run, out, report), run.steps)
    _measured(out)
    typer.echo(f"trained for {run.seconds / 60:.1f} minutes")


@app.command("eval")
def eval_command(
    weights: Weights = None,
    side: Annotated[str, typer.Option(help="right or left.")] = "right",
    poses: Annotated[int, typer.Option(min=2, help="Poses per hand.")] = 512,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, with every pair of hands.")] = False,
) -> None:
    """Print the paper's table of metrics, per hand and over all pairs of different hands."""
    from xlvla.codec import Codec
    from xlvla.errors import unknown
    from xlvla.types import SIDES

    if side not in SIDES:
        raise unknown("side", side, SIDES)
    codec = Codec.load(weights)
    rows = _rows(codec, side, poses)
    if json:
        typer.echo(_json(codec, side, poses, rows))
    else:
        _print(codec, side, rows)


@app.command("show")
def show_command(
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("out/codec.png"),
    weights: Weights = None,
    side: Annotated[str, typer.Option(help="right or left.")] = "right",
    source: Annotated[str, typer.Option(help="Hand whose poses are encoded.")] = "inspire",
) -> None:
    """Draw the same latents decoded by every hand."""
    from xlvla.codec import Codec
    from xlvla.errors import unknown
    from xlvla.types import SIDES
    from xlvla_policy.latent.figure import draw

    if side not in SIDES:
        raise unknown("side", side, SIDES)
    draw(Codec.load(weights), out, source, side)
    typer.echo(str(out))


@app.command("export")
def export_command(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("out/onnx"),
    weights: Weights = None,
) -> None:
    """Write every encoder and decoder as ONNX, limits and normalisation inside, and codec.json that names them."""
    from xlvla.codec import Codec
    from xlvla_policy.latent.export import export

    written = export(Codec.load(weights), out)
    typer.echo(f"{out}: {len(written) - 1} ONNX files and {written[-1].name}, {sum(path.stat().st_size for path in written) / 1e6:.1f} MB")


@app.command("convert")
def convert_command(
    file: Annotated[Path, typer.Argument(help="Checkpoint of the paper's released code (DexLatent), *.pt.")],
    out: Annotated[Path, typer.Option(help="Weights file to write.")] = Path("out/released.safetensors"),
) -> None:
    """Take over a codec trained with the paper's released code, and print its metrics."""
    from xlvla_policy.latent.released import convert

    convert(file, out)
    _measured(out)


def _names(hands: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in hands.split(",") if name.strip())


def _with_progress(run, steps: int) -> None:
    """Runs `run(report)` behind a progress bar; `report(step, losses)` moves it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("codec"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[losses]}"))
    with Progress(*columns) as progress:
        task = progress.add_task("train", total=steps, losses="")

        def report(step: int, losses) -> None:
            progress.update(task, completed=step)
            if step % 10 == 0:
                text = f"reconstruction {losses.reconstruction.item():.5f} rad^2, retargeting {losses.retargeting.item():.3f}"
                progress.update(task, losses=text)

        run(report)


def _measured(out: Path) -> None:
    """Prints the metrics of a weights file and writes them into it."""
    from xlvla.codec import Codec
    from xlvla_policy.latent.metrics import mirror_mm
    from xlvla_policy.latent.weights import annotate

    codec = Codec.load(out)
    rows = _rows(codec, "right")
    annotate(out, metrics={hand: row.dict() for hand, row in rows.items()}, mirror_mm=mirror_mm(codec))
    _print(codec, "right", rows)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB, codec {Codec.load(out).hash}")


def _rows(codec: Codec, side: Side, poses: int = 512) -> dict[str, Metrics]:
    """The hands that shaped the latent among themselves, their mean, and hands added later against all others."""
    from xlvla_policy.latent.metrics import bench, evaluate

    rows = evaluate(bench(codec.founders, side, poses))
    later = [hand for hand in codec.hands if hand not in rows]
    if later:
        everybody = evaluate(bench(codec, side, poses))
        rows |= {hand: everybody[hand] for hand in later}
    return rows


def _print(codec: Codec, side: Side, rows: dict[str, Metrics]) -> None:
    from rich.console import Console

    from xlvla_policy.latent.metrics import mirror_mm

    console = Console()
    console.print(_table(codec, side, rows))
    mirrors = ", ".join(f"{hand} {error:.2f}" for hand, error in mirror_mm(codec).items())
    console.print(f"fingertips of a left pose, mirrored, and of the right hand decoding its latent, RMS mm: {mirrors}")


def _table(codec: Codec, side: Side, rows: dict[str, Metrics]) -> Table:
    from rich.table import Table

    from xlvla_policy.latent.metrics import RELEASED

    table = Table(title=f"codec {codec.hash}, {side} hands; pairs under their source; lower is better")
    for heading in ("", *rows, "released"):
        table.add_column(heading, justify="left" if not heading else "right")
    for metric in rows["all"].dict():
        *words, unit = metric.split("_")
        values = [row.dict()[metric] for row in rows.values()]
        released = f"{RELEASED[metric]:g}" if metric in RELEASED else ""
        table.add_row(f"{' '.join(words)} {unit}", *(f"{value:.4f}" if value < 0.1 else f"{value:.2f}" for value in values), released)
    return table


def _json(codec: Codec, side: Side, poses: int, rows: dict[str, Metrics]) -> str:
    import json

    from xlvla_policy.latent.metrics import bench, evaluate_pair, mirror_mm, pairs

    measured = bench(codec, side, poses)
    across = {f"{source}->{target}": evaluate_pair(measured, source, target) for source, target in pairs(codec)}
    report = {"codec": codec.hash, "side": side, "hands": {hand: row.dict() for hand, row in rows.items()}, "pairs": across}
    return json.dumps({**report, "mirror_mm": mirror_mm(codec)}, indent=2)
