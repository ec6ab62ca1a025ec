"""`xlvla codec eval`: the paper's table of a codec, per hand and per pair of hands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla_cli.codec import Weights
from xlvla_cli.options import HandSide

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla_policy.latent.report import CodecReport

LEGEND = """\
pinch, random: line thumb tip to fingertip, decoded by another hand: angle and difference of length
hit: decoded poses that reach over 1 mm into themselves, beyond what ordinary poses do
new: hits of poses whose source does not reach into itself
contin.: change after a step of 0.05 in the latent; interp: straight latent lines, 32 steps
jerk x: of a decoded smooth path, per metre, over the source's, at 100 Hz
moved: smoothed in time, as `xlvla retarget` does"""


def register(app: typer.Typer) -> None:
    app.command("eval")(evaluate)


def evaluate(
    weights: Weights = None,
    against: Annotated[Path | None, typer.Option(help="Weights file to compare with.")] = None,
    side: HandSide = "right",
    poses: Annotated[int, typer.Option(min=2, help="Poses per hand and kind.")] = 512,
    seed: Annotated[int, typer.Option(help="Of the poses.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder for eval.json and pairs.png.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure a codec as the paper does: per hand, and per pair of hands."""
    from xlvla.codec import Codec
    from xlvla.errors import unknown
    from xlvla.types import SIDES
    from xlvla_policy.latent.report import heat_maps, measure

    if side not in SIDES:
        raise unknown("side", side, SIDES)
    codecs = [Codec.load(weights)]
    if against:
        codecs.append(Codec.load(against))
    reports = [measure(codec, side, poses, seed) for codec in codecs]
    if json:
        typer.echo(_json(reports))
    else:
        _show(reports)
    if out:
        heat_maps(reports, out / "pairs.png")
        (out / "eval.json").write_text(_json(reports) + "\n")
        typer.echo(f"{out / 'eval.json'} {out / 'pairs.png'}", err=json)


def measured(out: Path) -> None:
    """Prints the metrics of the right hands of a weights file and writes them into it."""
    from dataclasses import replace

    from xlvla.codec import Codec
    from xlvla_policy.latent.report import measure
    from xlvla_policy.latent.weights import annotate

    report = measure(Codec.load(out))
    metrics = {hand: row.dict() for hand, row in report.hands.items()}
    annotate(out, metrics=metrics, mirror_mm=report.mirror_mm)
    # The hash covers the metrics, which are in the file now.
    name = Codec.load(out).hash
    _show([replace(report, codec=name)])
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB, codec {name}")


def _json(reports: list[CodecReport]) -> str:
    from json import dumps

    ours, *others = reports
    document = ours.dict()
    if others:
        document["against"] = others[0].dict()
    return dumps(document, indent=2)


def _show(reports: list[CodecReport]) -> None:
    from xlvla import screen

    console = screen.console()
    ours = reports[0]
    console.print(_by_hand(reports))
    for report in reports:
        console.print(_by_pair(report))
    console.print(LEGEND, highlight=False)
    for line in _lines(ours):
        console.print(line, highlight=False)


def _lines(report: CodecReport) -> Iterator[str]:
    """What is measured once per codec, or once per hand."""
    hits: list[str] = []
    for hand, share in report.sources.items():
        hits.append(f"{hand} {share['pinch']:.0f} and {share['random']:.0f}")
    yield f"hit, the source poses themselves, pinches and random, %: {', '.join(hits)}"

    jerks = [f"{ratio:.2f} at {rate_hz} Hz" for rate_hz, ratio in report.own_jerk.items()]
    yield f"path jerk through the own hand, the worst hand's: {', '.join(jerks)}"

    mirrors = [f"{hand} {error:.2f}" for hand, error in report.mirror_mm.items()]
    yield (
        "fingertips of a left pose, mirrored, and of the right hand decoding its latent, RMS mm: "
        f"{', '.join(mirrors)}"
    )


def _by_hand(reports: list[CodecReport]) -> Table:
    """A column per hand, the mean, and the means of what it is compared with."""
    from xlvla_policy.latent.metric import METRICS

    ours, *others = reports
    title = (
        f"{ours.name} codec {ours.codec}, {ours.side} hands, {ours.poses} poses, seed {ours.seed}; "
        "lower is better"
    )
    headings = list(ours.hands)
    rows = list(ours.hands.values())
    for report in others:
        headings.append(report.name)
        rows.append(report.hands["all"])
    table = _table(title, [*headings, "released"])
    for metric in METRICS:
        cells = [_figure(row.dict()[metric.key]) for row in rows]
        released = "" if metric.released is None else _figure(metric.released)
        table.add_row(metric.line, *cells, released)
    return table


def _by_pair(report: CodecReport) -> Table:
    from xlvla_policy.latent.metric import PAIRED

    table = _table(f"{report.name}: source > target", [metric.heading for metric in PAIRED])
    for (source, target), values in report.pairs.items():
        cells = [_figure(values[metric.key]) for metric in PAIRED]
        table.add_row(f"{source} > {target}", *cells)
    return table


def _table(title: str, headings: list[str]) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(title=title, box=SIMPLE, padding=0, show_edge=False, title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _figure(value: float) -> str:
    """Some three digits."""
    if value == 0:
        return "0"
    if value < 0.1:
        return f"{value:.4f}"
    if value < 10:
        return f"{value:.2f}"
    if value < 100:
        return f"{value:.1f}"
    return f"{value:.0f}"
