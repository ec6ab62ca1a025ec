"""A report as one HTML file that needs nothing else, and its overview as a picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xlvla.types import SIDES, Side
from xlvla_data import jpeg
from xlvla_data.report import figures, style
from xlvla_data.report.gather import Overview, Sample
from xlvla_data.store import Stored
from xlvla_data.summary import SAID, Group, pair
from xlvla_data.verdict import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase


def write(overview: Overview, title: str, html: Path, png: Path) -> None:
    """Writes both files."""
    import matplotlib

    html.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(style.RC):
        html.write_text(_document(overview, title))
        _overview(overview).savefig(png, dpi=110)


def _document(overview: Overview, title: str) -> str:
    sections = [_head(overview, title), _table(overview), _plots(overview)]
    sections += _spans(overview)
    sections += [_sample(sample) for sample in overview.samples]
    return style.document(title, "\n".join(sections))


def _head(overview: Overview, title: str) -> str:
    groups = overview.groups
    episodes = overview.episodes
    minutes = sum(stored.duration_s for stored in episodes) / 60
    succeeded = sum(group.success.get("yes", 0) for group in groups)
    failed = sum(group.success.get("no", 0) for group in groups)
    marked = succeeded + failed
    numbers = {
        "episodes": str(len(episodes)),
        "minutes": f"{minutes:.1f}",
        "tasks": str(len({group.task for group in groups})),
        "pairs of hands": str(len({group.hands for group in groups})),
        "success": f"{succeeded / marked:.0%}" if marked else "not said",
    }
    tiles = ""
    for name, value in numbers.items():
        tiles += f"<div class=tile><b>{value}</b><span>{name}</span></div>"
    return f"<header><h1>{escape(title)}</h1><div class=tiles>{tiles}</div></header>"


def _table(overview: Overview) -> str:
    heads = (
        "task",
        "hands",
        "episodes",
        "minutes",
        "median s",
        "success",
        "verdict",
        "sessions",
        "sentence",
    )
    rows = "".join(f"<tr>{''.join(_row(group))}</tr>" for group in overview.groups)
    head = "".join(f"<th>{name}</th>" for name in heads)
    return f"<section><h2>Episodes</h2><table><tr>{head}</tr>{rows}</table></section>"


def _row(group: Group) -> Iterator[str]:
    """The cells of a group."""
    lengths = group.durations_s
    succeeded = group.success.get("yes", 0)
    marked = succeeded + group.success.get("no", 0)
    for name in (group.task, group.hands):
        yield f"<td>{escape(name or '-')}</td>"
    yield f"<td class=number>{len(lengths)}</td>"
    yield f"<td class=number>{sum(lengths) / 60:.1f}</td>"
    yield f"<td class=number>{np.median(lengths):.1f}</td>"
    success = f"{succeeded} of {marked}" if marked else "not said"
    yield f"<td class=number>{success}</td>"
    verdicts = ""
    for colour in COLOURS:
        count = group.verdicts.get(colour, 0)
        if count:
            verdicts += f"<i class={colour}>{count} {colour}</i>"
    yield f"<td>{verdicts or '-'}</td>"
    yield f"<td class=number>{group.sessions or '-'}</td>"
    others = len(group.sentences) - 1
    more = f" and {others} more" if others else ""
    yield f"<td class=sentence>{escape(group.sentences[0])}{more}</td>"


def _plots(overview: Overview) -> str:
    plot = _Plot(4.4, 3.6)
    figures.durations(plot.axes, overview.episodes)
    plots = [plot.svg()]
    hands = sorted({cloud.hand for cloud in overview.clouds})
    for side in SIDES:
        clouds = [cloud for cloud in overview.clouds if cloud.side == side]
        if clouds:
            plot = _Plot(4.4, 3.6)
            figures.coverage(plot.axes, side, clouds, hands)
            plots.append(plot.svg())
    note = "<p>No latents of this codec are in these data sets.</p>"
    if overview.clouds:
        note = (
            "<p>Latents of all commands on the two axes along which latents differ most "
            f"({overview.explained:.0%} of their variance); "
            "grey: random poses of the same hands, all there is to cover.</p>"
        )
    heading = "<h2>Durations and coverage of the latent space</h2>"
    return f"<section>{heading}<div class='row three'>{''.join(plots)}</div>{note}</section>"


def _spans(overview: Overview) -> Iterator[str]:
    """A section for every pair of hands."""
    by_hands: dict[str, list[Stored]] = {}
    for stored in overview.episodes:
        by_hands.setdefault(pair(stored), []).append(stored)
    for hands, episodes in by_hands.items():
        used = figures.used(episodes)
        plots = ""
        for side in SIDES:
            of_side = {name: joint for name, joint in used.items() if name.startswith(f"{side}_")}
            if of_side:
                plot = _Plot(6.4, 1.2 + 0.19 * len(of_side))
                figures.spans(plot.axes, f"{side} side", of_side, overview.limits)
                plots += plot.svg()
        note = (
            "<p>Commands between the limits of every joint: light the whole range, dark the middle "
            "98 %.</p>"
        )
        yield (
            f"<section><h2>Ranges of the joints, {escape(hands)}</h2>"
            f"<div class=row>{plots}</div>{note}</section>"
        )


def _sample(sample: Sample) -> str:
    """A section for an episode shown in full."""
    stored = sample.stored
    facts = {
        "success": SAID[stored.success],
        "verdict": stored.verdict,
        "length": f"{stored.duration_s:.1f} s",
        "seed": stored.seed if stored.seed >= 0 else "",
    }
    line = " · ".join(f"{name} {value}" for name, value in facts.items() if value != "")
    strips = ""
    for camera, strip in sample.strips.items():
        caption = f"<figcaption>{escape(camera)}</figcaption>"
        strips += f"<figure>{_pictures(strip)}{caption}</figure>"
    plots = ""
    for side, part in figures.parts(sample):
        plot = _Plot(6.4, 2.6)
        figures.joints(plot.axes, sample, side, part)
        plots += plot.svg()
    name = stored.key if stored.row.row.get("recording") else stored.name
    return (
        f"<section><h2>{escape(name)}</h2>"
        f"<p>{escape(stored.row.sentence)}<br>{escape(line)}</p>{strips}"
        f"<div class=row>{plots}</div><p>Lines: commands; dashes: what was measured.</p></section>"
    )


def _pictures(strip: list[np.ndarray]) -> str:
    images = ""
    for picture in strip:
        data = base64.b64encode(jpeg.encode(picture)).decode()
        images += f'<img alt="" src="data:image/jpeg;base64,{data}">'
    return f"<div class=strip>{images}</div>"


class _Plot:
    """Axes of a figure of this size [inch], and the figure as SVG within a page."""

    def __init__(self, width: float, height: float):
        from matplotlib.figure import Figure

        self._figure = Figure((width, height), layout="constrained")
        self.axes: Axes = self._figure.add_subplot()

    def svg(self) -> str:
        file = io.StringIO()
        self._figure.savefig(file, format="svg", transparent=True)
        text = file.getvalue()
        # Without the XML declaration, which has no place within a page
        begin = text.index("<svg")
        return f"<div class=plot>{text[begin:]}</div>"


def _overview(overview: Overview) -> Figure:
    """Durations and coverage above, a strip of every sample below."""
    from matplotlib.figure import Figure

    strips: list[tuple[str, list[np.ndarray]]] = []
    for sample in overview.samples:
        for camera, pictures in sample.strips.items():
            strips.append((f"{sample.stored.key}, {camera}", pictures))
    plots_inch = 4.2
    strips_inch = 1.5 * len(strips)
    size = (13, plots_inch + strips_inch)
    figure = Figure(size, layout="constrained", facecolor="white")
    if not strips:
        _draw_plots(figure, overview)
        return figure
    above, below = figure.subfigures(2, 1, height_ratios=[plots_inch, strips_inch])
    _draw_plots(above, overview)
    rows = below.subplots(len(strips), 1, squeeze=False)[:, 0]
    for axes, (title, pictures) in zip(rows, strips, strict=True):
        figures.strip(axes, pictures, title)
    return figure


def _draw_plots(figure: FigureBase, overview: Overview) -> None:
    """Durations, and coverage by side, beside each other."""
    with_clouds = {cloud.side for cloud in overview.clouds}
    sides: list[Side] = [side for side in SIDES if side in with_clouds]
    hands = sorted({cloud.hand for cloud in overview.clouds})
    first, *others = figure.subplots(1, 1 + len(sides), squeeze=False)[0]
    figures.durations(first, overview.episodes)
    for axes, side in zip(others, sides, strict=True):
        clouds = [cloud for cloud in overview.clouds if cloud.side == side]
        figures.coverage(axes, side, clouds, hands)
