"""A series of trials as one page: rates, paired tests, every trial with its film."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

from xlvla import files
from xlvla.paper import code
from xlvla_cli.eval.table import LEGEND, Rate
from xlvla_cli.trials.results import Comparison, Row, comparisons, rated, rows, stages_apart
from xlvla_cli.trials.series import Series, Trial
from xlvla_data.report import style

COLOURS = ("#3566c0", "#c2571a", "#2b8a3e", "#8b3fb0", "#0b7f8a", "#a8326d")
"""Of contenders, in their order."""

CSS = """
.scene { display: flex; flex-wrap: wrap; gap: 16px; }
.scene figure { flex: 1 1 280px; max-width: 420px; }
h3 { font-size: 15px; margin: 14px 0 8px; color: #5a6270; }
.dot { display: inline-block; width: 11px; height: 11px; border-radius: 50%; margin-right: 7px; }
.wide { overflow-x: auto; }
"""

BAR_WIDTH = 620
ROW_HEIGHT = 30
LEFT = 190
RIGHT = 70


def write(series: Series, films: Mapping[int, str], path: Path) -> Path:
    """Writes the page.

    Args:
        films: of trials by number, as addresses beside the page.
    """
    title = " and ".join(contender.name for contender in series.contenders)
    title = f"{title} on {series.rig}"
    found = rows(series)
    sections = [
        _head(series, title),
        _rates("Successes", "sr", series, found),
        _rates("Share of stages reached", "psr", series, found),
        _paired(series),
        _table(series),
        _films(series, films),
    ]
    files.write_text(path, style.document(title, "\n".join(sections), style.FILMS + CSS))
    return path


def _head(series: Series, title: str) -> str:
    scored = series.scored
    tiles = _tile("trials scored", f"{len(scored)} of {len(series.trials)}")
    tiles += _tile("scenes", str(len({(trial.block, trial.scene) for trial in series.trials})))
    for number, contender in enumerate(series.contenders):
        own = [trial for trial in scored if trial.contender == number]
        won = sum(trial.success for trial in own)
        tiles += _tile(f"{_dot(number)}{escape(contender.name)}", f"{won} of {len(own)}")
    by_person = all(trial.judge == "person" for trial in scored)
    how = (
        "Scored by a person who was not told which policy acted"
        if by_person
        else "Scored by the simulation, wholly or in part"
    )
    line = f"{how}; order drawn with seed {series.seed}, xlvla {escape(series.version)}."
    return f"<header><h1>{escape(title)}</h1><div class=tiles>{tiles}</div><p>{line}</p></header>"


def _tile(name: str, value: str) -> str:
    """`name` is HTML."""
    return f"<div class=tile><b>{value}</b><span>{name}</span></div>"


def _dot(contender: int) -> str:
    return f'<span class=dot style="background:{_colour(contender)}"></span>'


def _colour(contender: int) -> str:
    return COLOURS[contender % len(COLOURS)]


def _rates(title: str, which: str, series: Series, found: list[Row]) -> str:
    names = [contender.name for contender in series.contenders]
    heads = "".join(f"<th>{_dot(number)}{escape(name)}</th>" for number, name in enumerate(names))
    lines = ""
    for row in found:
        cells = "".join(f"<td class=number>{rated(each, which)}</td>" for each in row.rates)
        lines += f"<tr><td>{escape(row.name)}</td>{cells}</tr>"
    table = f"<div class=wide><table><tr><th></th>{heads}</tr>{lines}</table></div>"
    note = f"<p>{LEGEND}</p>" if which == "psr" else ""
    return f"<section><h2>{title}</h2>{_bars(which, found)}{table}{note}</section>"


def _bars(which: str, found: list[Row]) -> str:
    """Shares as dots with their intervals as lines, from 0 to 100 %."""
    drawn: list[str] = []
    y = 8.0
    for row in found:
        drawn.append(
            f'<text x="0" y="{y + ROW_HEIGHT * len(row.rates) / 2 + 4}">{escape(row.name)}</text>'
        )
        for number, rate in enumerate(row.rates):
            if rate is not None:
                drawn.append(_bar(rate, which, number, y + ROW_HEIGHT / 2))
            y += ROW_HEIGHT
        y += 8
    axis = ""
    for share in (0, 25, 50, 75, 100):
        x = LEFT + BAR_WIDTH * share / 100
        axis += f'<line x1="{x}" x2="{x}" y1="4" y2="{y}" stroke="#e3e7ed"/>'
        axis += f'<text x="{x}" y="{y + 16}" text-anchor="middle">{share} %</text>'
    width = LEFT + BAR_WIDTH + RIGHT
    return (
        f'<svg viewBox="0 0 {width} {y + 24}" width="100%" style="max-width:{width}px" '
        f'font-size="13" fill="#5a6270">{axis}{"".join(drawn)}</svg>'
    )


def _bar(rate: Rate, which: str, contender: int, y: float) -> str:
    share = rate.sr if which == "sr" else rate.psr
    interval = rate.sr_interval if which == "sr" else rate.psr_interval
    low, middle, high = (LEFT + BAR_WIDTH * each for each in (interval[0], share, interval[1]))
    colour = _colour(contender)
    return (
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}" stroke="{colour}" '
        f'stroke-width="5" stroke-linecap="round" opacity="0.35"/>'
        f'<circle cx="{middle:.1f}" cy="{y}" r="6.5" fill="{colour}"/>'
    )


def _paired(series: Series) -> str:
    names = [contender.name for contender in series.contenders]
    lines = "".join(_paired_row(each, names) for each in comparisons(series))
    heads = ("", "A", "B", "pairs", "only A", "only B", "McNemar p", "B − A, stages")
    head = "".join(f"<th>{name}</th>" for name in heads)
    note = (
        "<p>Pairs: trials of the same task, hands and scene. p: McNemar's exact test, two-sided, "
        "of successes that only one had; stages: mean difference of the share reached, with its "
        "95% interval, bootstrapped over pairs.</p>"
    )
    table = f"<div class=wide><table><tr>{head}</tr>{lines}</table></div>"
    return f"<section><h2>In pairs</h2>{table}{note}</section>"


def _paired_row(each: Comparison, names: list[str]) -> str:
    found = each.difference
    first = f"{_dot(each.first)}{escape(names[each.first])}"
    second = f"{_dot(each.second)}{escape(names[each.second])}"
    numbers = (
        str(found.pairs),
        *map(str, found.only),
        f"{found.p:.3f}",
        stages_apart(found.stage, found.interval),
    )
    cells = "".join(f"<td class=number>{number}</td>" for number in numbers)
    return f"<tr><td>{escape(each.name)}</td><td>{first}</td><td>{second}</td>{cells}</tr>"


def _table(series: Series) -> str:
    heads = ("trial", "task", "hands", "scene", "policy", "stages", "time s", "ended", "notes")
    head = "".join(f"<th>{name}</th>" for name in heads)
    lines = "".join(f"<tr>{''.join(_cells(series, trial))}</tr>" for trial in series.trials)
    return (
        "<section><h2>Trials in the order of play</h2><div class=wide>"
        f"<table><tr>{head}</tr>{lines}</table></div></section>"
    )


def _cells(series: Series, trial: Trial) -> Iterator[str]:
    yield f"<td class=number>{trial.number}</td>"
    yield f"<td>{code(trial.task)}</td>"
    yield f"<td>{escape('+'.join(dict.fromkeys(trial.hands.split('+'))))}</td>"
    yield f"<td class=number>{trial.scene}</td>"
    name = escape(series.contenders[trial.contender].name)
    yield f"<td>{_dot(trial.contender)}{name}</td>"
    if trial.state != "scored":
        yield "<td class=sentence colspan=4>not scored yet</td>"
        return
    colour = "green" if trial.success else "yellow" if trial.stage else "red"
    yield f"<td><i class={colour}>{trial.stage:.2f}</i></td>"
    yield f"<td class=number>{trial.time_s:.1f}</td>"
    yield f"<td>{escape(trial.end)}</td>"
    again = f"begun {trial.attempts} times. " if trial.attempts > 1 else ""
    yield f"<td class=sentence>{again}{escape(trial.notes)}</td>"


def _films(series: Series, films: Mapping[int, str]) -> str:
    """The films of each scene beside each other."""
    if not films:
        return "<section><h2>Films</h2><p>No trial was recorded.</p></section>"
    parts: list[str] = []
    for task, hands in series.blocks:
        for scene in dict.fromkeys(trial.scene for trial in series.trials):
            of_scene = [
                trial
                for trial in series.scored
                if trial.block == (task, hands) and trial.scene == scene
            ]
            ordered = sorted(of_scene, key=lambda trial: trial.contender)
            if ordered:
                figures = "".join(_film(series, trial, films) for trial in ordered)
                parts.append(f"<h3>{code(task)}, scene {scene}</h3>")
                parts.append(f"<div class='films scene'>{figures}</div>")
    return f"<section><h2>Films</h2>{''.join(parts)}</section>"


def _film(series: Series, trial: Trial, films: Mapping[int, str]) -> str:
    name = f"{_dot(trial.contender)}{escape(series.contenders[trial.contender].name)}"
    came = f"trial {trial.number}, {trial.stage:.2f} in {trial.time_s:.1f} s: {trial.end}"
    caption = f"<b>{name}</b>{escape(came)}<br>{escape(trial.notes)}"
    return style.film(films.get(trial.number, ""), caption)
