"""A report as one HTML file that needs nothing else, and its overview as a picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xlvla.types import SIDES, Side
from xlvla_data import jpeg
from xlvla_data.report import figures
from xlvla_data.report.gather import Overview, Sample
from xlvla_data.report.style import CSS, RC
from xlvla_data.summary import SAID, Group, pair

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def write(overview: Overview, title: str, html: Path, png: Path) -> None:
    """Writes both files."""
    import matplotlib

    html.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(RC):
        html.write_text(_document(overview, title))
        _overview(overview).savefig(png, dpi=110)


def _document(overview: Overview, title: str) -> str:
    body = "\n".join(
        (
            _head(overview, title),
            _table(overview),
            _plots(overview),
            *_spans(overview),
            *map(_sample, overview.samples),
        )
    )
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{CSS}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>{body}</body></html>\n'


def _head(overview: Overview, title: str) -> str:
    groups = overview.groups
    episodes = overview.episodes
    won, judged = (
        sum(sum(group.success.get(word, 0) for word in words) for group in groups)
        for words in (("yes",), ("yes", "no"))
    )
    figures = {
        "episodes": str(len(episodes)),
        "minutes": f"{sum(stored.duration_s for stored in episodes) / 60:.1f}",
        "tasks": str(len({group.task for group in groups})),
        "pairs of hands": str(len({group.hands for group in groups})),
        "success": f"{won / judged:.0%}" if judged else "not said",
    }
    tiles = "".join(
        f"<div class=tile><b>{value}</b><span>{word}</span></div>"
        for word, value in figures.items()
    )
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
    lengths = group.durations_s
    won = group.success.get("yes", 0)
    lost = group.success.get("no", 0)
    lights = "".join(
        f"<i class={light}>{count} {light}</i>"
        for light in ("green", "yellow", "red")
        if (count := group.verdicts.get(light, 0))
    )
    numbers = (
        str(len(lengths)),
        f"{sum(lengths) / 60:.1f}",
        f"{np.median(lengths):.1f}",
        f"{won} of {won + lost}" if won + lost else "not said",
    )
    yield from (f"<td>{escape(word or '-')}</td>" for word in (group.task, group.hands))
    yield from (f"<td class=number>{number}</td>" for number in numbers)
    yield f"<td>{lights or '-'}</td><td class=number>{group.sessions or '-'}</td>"
    others = len(group.sentences) - 1
    more = f" and {others} more" if others else ""
    yield f"<td class=sentence>{escape(group.sentences[0])}{more}</td>"


def _plots(overview: Overview) -> str:
    made = [_svg(lambda axes: figures.durations(axes, overview.episodes), 4.4, 3.6)]
    hands = sorted({cloud.hand for cloud in overview.clouds})
    for side in SIDES:
        if clouds := [cloud for cloud in overview.clouds if cloud.side == side]:
            made.append(
                _svg(
                    lambda axes, side=side, clouds=clouds: figures.coverage(
                        axes, side, clouds, hands
                    ),
                    4.4,
                    3.6,
                )
            )
    note = (
        "<p>Latents of all commands on the two axes along which latents differ most "
        f"({overview.explained:.0%} of their variance); "
        "grey: random poses of the same hands, all there is to cover.</p>"
        if overview.clouds
        else "<p>No latents of this codec are in these data sets.</p>"
    )
    heading = "<h2>Durations and coverage of the latent space</h2>"
    return f"<section>{heading}<div class='row three'>{''.join(made)}</div>{note}</section>"


def _spans(overview: Overview) -> Iterator[str]:
    """A section for every pair of hands."""
    for hands in dict.fromkeys(map(pair, overview.episodes)):
        found = figures.used([stored for stored in overview.episodes if pair(stored) == hands])
        made = []
        for side in SIDES:
            if own := {
                name: values for name, values in found.items() if name.startswith(f"{side}_")
            }:
                size = 1.2 + 0.19 * len(own)
                made.append(
                    _svg(
                        lambda axes, own=own, side=side: figures.spans(
                            axes, f"{side} side", own, overview.limits
                        ),
                        6.4,
                        size,
                    )
                )
        note = (
            "<p>Commands between the limits of every joint: light the whole range, dark the middle "
            "98 %.</p>"
        )
        yield (
            f"<section><h2>Ranges of the joints, {escape(hands)}</h2><div "
            f"class=row>{''.join(made)}</div>{note}</section>"
        )


def _sample(sample: Sample) -> str:
    stored = sample.stored
    facts = {
        "success": SAID[stored.success],
        "verdict": stored.verdict,
        "length": f"{stored.duration_s:.1f} s",
        "seed": stored.seed if stored.seed >= 0 else "",
    }
    line = " · ".join(f"{word} {value}" for word, value in facts.items() if value != "")
    strips = "".join(
        f"<figure>{_pictures(strip)}<figcaption>{escape(camera)}</figcaption></figure>"
        for camera, strip in sample.strips.items()
    )
    plots = "".join(
        _svg(lambda axes, side=side, part=part: figures.joints(axes, sample, side, part), 6.4, 2.6)
        for side, part in figures.parts(sample)
    )
    name = stored.key if stored.row.row.get("recording") else stored.name
    return (
        f"<section><h2>{escape(name)}</h2><p>{escape(stored.row.sentence)}<br>{escape(line)}</p>{strips}"
        f"<div class=row>{plots}</div><p>Lines: commands; dashes: what was measured.</p></section>"
    )


def _pictures(strip: list[np.ndarray]) -> str:
    return (
        "<div class=strip>"
        + "".join(
            '<img alt="" '
            f'src="data:image/jpeg;base64,{base64.b64encode(jpeg.encode(each)).decode()}">'
            for each in strip
        )
        + "</div>"
    )


def _svg(draw: Callable[[Axes], None], width: float, height: float) -> str:
    from matplotlib.figure import Figure

    figure = Figure((width, height), layout="constrained")
    draw(figure.add_subplot())
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True)
    return f"<div class=plot>{text.getvalue()[text.getvalue().index('<svg') :]}</div>"


def _overview(overview: Overview) -> Figure:
    """Durations and coverage above, a strip of every sample below."""
    from matplotlib.figure import Figure

    strips = [
        (sample, camera, pictures)
        for sample in overview.samples
        for camera, pictures in sample.strips.items()
    ]
    sides: list[Side] = [
        side for side in SIDES if any(cloud.side == side for cloud in overview.clouds)
    ]
    figure = Figure((13, 4.2 + 1.5 * len(strips)), layout="constrained", facecolor="white")
    above, *below = (
        figure.subfigures(2, 1, height_ratios=[4.2, 1.5 * len(strips)]) if strips else [figure]
    )
    axes = above.subplots(1, 1 + len(sides), squeeze=False)[0]
    figures.durations(axes[0], overview.episodes)
    hands = sorted({cloud.hand for cloud in overview.clouds})
    for each, side in zip(axes[1:], sides, strict=True):
        figures.coverage(
            each, side, [cloud for cloud in overview.clouds if cloud.side == side], hands
        )
    for part in below:
        for each, (sample, camera, pictures) in zip(
            part.subplots(len(strips), 1, squeeze=False)[:, 0], strips, strict=True
        ):
            figures.strip(each, pictures, f"{sample.stored.key}, {camera}")
    return figure
