"""`xlvla codec eval`: the paper's table of a codec, per side, hand and pair of hands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla_cli.codec import Weights

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla.codec import Codec
    from xlvla.types import Side
    from xlvla_policy.latent.report import CodecReport

BOTH = "both"

LEGEND = """\
in brackets and under limit: each pose optimised on its own, the nearest a decoder could come
pinch, random: line thumb tip to fingertip, decoded by another hand: angle and difference of length
touch: pads that touch on the source: over 10 mm apart, over 5 mm inside, angle they turn away
round trip: lines of a pose that went to another hand and back; left open: of fingers told to close
consist.: from a latent to that of the pose decoded from it, over the latents' spread
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
    hand: Annotated[str | None, typer.Option(help="Only this hand and its pairs.")] = None,
    side: Annotated[str, typer.Option(help="left, right or both.")] = BOTH,
    poses: Annotated[int, typer.Option(min=2, help="Poses per hand and kind.")] = 512,
    seed: Annotated[int, typer.Option(help="Of the poses.")] = 1,
    limits: Annotated[
        bool, typer.Option(help="Optimise each pose on its own, to see what could be reached.")
    ] = True,
    out: Annotated[Path | None, typer.Option(help="Folder for eval.json and pairs.png.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Measure a codec as the paper does: per hand, and per pair of hands."""
    from json import dumps

    from xlvla.codec import Codec
    from xlvla.errors import unknown
    from xlvla_policy.latent.report import heat_maps, measure

    sides = _sides(side)
    codecs = [Codec.load(weights)]
    if against:
        codecs.append(Codec.load(against))
    for codec in codecs:
        _warn_of_missing(codec)
        if hand and hand not in codec.hands:
            raise unknown("hand", hand, codec.hands)
    reports: dict[Side, list[CodecReport]] = {}
    for each in sides:
        reports[each] = []
        for codec in codecs:
            # What can be reached is a matter of the hands: once for all codecs.
            limited = limits and codec is codecs[0]
            report = measure(codec, each, poses, seed, limited=limited, hand=hand)
            reports[each].append(report)
    text = dumps({each: _record(of_side) for each, of_side in reports.items()}, indent=2)
    if json:
        typer.echo(text)
    else:
        for of_side in reports.values():
            _show(of_side)
        _show_mirrors(reports[sides[0]][0])
    if out:
        heat_maps([report for of_side in reports.values() for report in of_side], out / "pairs.png")
        (out / "eval.json").write_text(text + "\n")
        typer.echo(f"{out / 'eval.json'} {out / 'pairs.png'}", err=json)


def measured(out: Path, hand: str | None = None) -> None:
    """Prints the metrics of both sides of a weights file, or of one hand of it and its pairs, and
    writes them into it.
    """
    from dataclasses import replace

    from xlvla.codec import Codec
    from xlvla_policy.latent.report import measure
    from xlvla_policy.latent.weights import annotate

    codec = Codec.load(out)
    right = measure(codec, "right", hand=hand)
    left = measure(codec, "left", hand=hand)
    # What was measured before of other hands stays.
    before = codec.card if hand else {}
    annotate(
        out,
        metrics={**before.get("metrics", {}), **_rows(right)},
        metrics_left={**before.get("metrics_left", {}), **_rows(left)},
        mirror_mm=right.mirror_mm,
    )
    name = Codec.load(out).hash  # what was measured is in the file now
    _warn_of_missing(codec)
    for report in (right, left):
        _show([replace(report, codec=name)])
    _show_mirrors(right)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.2f} MB, codec {name}")


def _rows(report: CodecReport) -> dict[str, dict[str, float]]:
    return {hand: row.dict() for hand, row in report.hands.items()}


def _sides(word: str) -> Sequence[Side]:
    from xlvla.errors import unknown
    from xlvla.types import SIDES

    both: tuple[Side, ...] = ("right", "left")
    if word == BOTH:
        return both
    for side in both:
        if side == word:
            return (side,)
    raise unknown("side", word, (*SIDES, BOTH))


def _warn_of_missing(codec: Codec) -> None:
    """One line on hands that are in the file and cannot be measured."""
    from xlvla.codec import missing_line

    if codec.missing:
        typer.echo(missing_line(codec.missing), err=True)


def _record(reports: Sequence[CodecReport]) -> dict[str, Any]:
    """One side's report, and the one it is compared with under `against`."""
    ours, *others = reports
    record = ours.dict()
    if others:
        record["against"] = others[0].dict()
    return record


def _show(reports: Sequence[CodecReport]) -> None:
    from xlvla import screen

    console = screen.console()
    ours = reports[0]
    console.print(_by_hand(reports))
    for report in reports:
        console.print(_by_pair(report, limited=True))
        console.print(_by_pair(report, limited=False))
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


def _show_mirrors(report: CodecReport) -> None:
    from xlvla import screen

    mirrors = [f"{hand} {error:.2f}" for hand, error in report.mirror_mm.items()]
    screen.console().print(
        "fingertips of a left pose, mirrored, and of the right hand decoding its latent, RMS mm: "
        f"{', '.join(mirrors)}",
        highlight=False,
    )


def _by_hand(reports: Sequence[CodecReport]) -> Table:
    """A column per hand, the mean, its limit, and the means of what it is compared with."""
    from xlvla_policy.latent.metric import METRICS

    ours, *others = reports
    title = (
        f"{ours.name} codec {ours.codec}, {ours.side} hands, {ours.poses} poses, seed {ours.seed}; "
        "lower is better"
    )
    limit = ours.mean_limits()
    table = _table(title, [*ours.hands, "limit", *(report.name for report in others), "released"])
    for metric in METRICS:
        cells: list[str] = []
        for row in ours.hands.values():
            cells.append(_figure(row.dict()[metric.key]))
        cells.append(_figure(limit.get(metric.key)))
        for report in others:
            cells.append(_figure(report.hands[report.summary].dict()[metric.key]))
        table.add_row(metric.line, *cells, _figure(metric.released))
    return table


def _by_pair(report: CodecReport, *, limited: bool) -> Table:
    """A row per pair of hands: of the metrics that have a limit, or of the others."""
    from xlvla_policy.latent.metric import PAIRED

    metrics = [metric for metric in PAIRED if metric.limited == limited]
    title = f"{report.name}, {report.side} hands: source > target"
    table = _table(title, [metric.heading for metric in metrics])
    for (source, target), values in report.pairs.items():
        limit = report.limits.get((source, target), {})
        cells = [_cell(values[metric.key], limit.get(metric.key)) for metric in metrics]
        table.add_row(f"{source} > {target}", *cells)
    return table


def _cell(value: float, limit: float | None) -> str:
    """`7.2 (5.6)`"""
    if limit is None:
        return _figure(value)
    return f"{_figure(value)} ({_figure(limit)})"


def _table(title: str, headings: list[str]) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(title=title, box=SIMPLE, padding=0, show_edge=False, title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _figure(value: float | None) -> str:
    """Some three digits; nothing where there is no figure."""
    if value is None:
        return ""
    if value == 0:
        return "0"
    if value < 0.1:
        return f"{value:.4f}"
    if value < 10:
        return f"{value:.2f}"
    if value < 100:
        return f"{value:.1f}"
    return f"{value:.0f}"
