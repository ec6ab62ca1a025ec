"""The failures of an evaluation as a page, by kind and by how far they came, with their films."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from xlvla.paper import code
from xlvla_cli.eval.failure import KINDS, UNTOLD
from xlvla_cli.eval.trial import Outcome, Trial, video_path
from xlvla_data.report import style

FILE = "failures.html"

Failure = tuple[Trial, Outcome]


def write(outcomes: Sequence[Failure], title: str, folder: Path) -> None:
    """Writes the page beside the films' folder."""
    failures = [(trial, outcome) for trial, outcome in outcomes if not outcome.success]
    sections = [_head(failures, len(outcomes), title)]
    if failures:
        sections.append(_table(failures))
    counted = Counter(_kind(outcome) for _, outcome in failures)
    for kind, _ in counted.most_common():
        some = [failure for failure in failures if _kind(failure[1]) == kind]
        sections.append(_section(kind, some, folder))
    (folder / FILE).write_text(style.document(title, "\n".join(sections), style.FILMS))


def _kind(outcome: Outcome) -> str:
    return outcome.kind or UNTOLD


def _head(failures: Sequence[Failure], trials: int, title: str) -> str:
    tiles = _tile("trials", str(trials)) + _tile("failures", str(len(failures)))
    for share, count in sorted(Counter(outcome.stage for _, outcome in failures).items()):
        tiles += _tile(f"came to {share:.0%} of the stages", str(count))
    return f"<header><h1>{escape(title)}</h1><div class=tiles>{tiles}</div></header>"


def _tile(name: str, value: str) -> str:
    return f"<div class=tile><b>{value}</b><span>{name}</span></div>"


def _table(failures: Sequence[Failure]) -> str:
    """How many of each kind, by task."""
    tasks = list(dict.fromkeys(trial.task for trial, _ in failures))
    counted = Counter((_kind(outcome), trial.task) for trial, outcome in failures)
    heads = ["kind", *map(code, tasks), "all", "what it means"]
    rows = ""
    for kind, count in Counter(_kind(outcome) for _, outcome in failures).most_common():
        numbers = [str(counted[kind, task] or "") for task in tasks]
        cells = "".join(f"<td class=number>{number}</td>" for number in [*numbers, str(count)])
        name = f'<td><a href="#{_anchor(kind)}">{kind}</a></td>'
        rows += f"<tr>{name}{cells}<td class=sentence>{KINDS[kind]}</td></tr>"
    head = "".join(f"<th>{name}</th>" for name in heads)
    note = "<p>The first kind that applies counts, in the order in which they are listed here:"
    order = ", ".join(KINDS)
    return (
        f"<section><h2>Kinds</h2><table><tr>{head}</tr>{rows}</table>{note} {order}.</p></section>"
    )


def _section(kind: str, failures: Sequence[Failure], folder: Path) -> str:
    """The films of a kind, those that came least far first."""
    ordered = sorted(
        failures, key=lambda failure: (failure[1].stage, failure[0].task, failure[0].seed)
    )
    films = "".join(_film(trial, outcome, folder) for trial, outcome in ordered)
    heading = f'<h2 id="{_anchor(kind)}">{kind}: {len(failures)}</h2>'
    return f"<section>{heading}<p>{KINDS[kind]}</p><div class=films>{films}</div></section>"


def _film(trial: Trial, outcome: Outcome, folder: Path) -> str:
    path = video_path(trial, folder)
    source = path.relative_to(folder).as_posix() if path.is_file() else ""
    name = f"{code(trial.task)} {'+'.join(trial.hands)}, seed {trial.seed}"
    came = f"came to {outcome.stage:.0%} of the stages in {outcome.time_s:.1f} s: {outcome.text}"
    caption = f"<b>{escape(name)}</b>{escape(came)}<br>{escape(outcome.facts)}"
    return style.film(source, caption)


def _anchor(kind: str) -> str:
    return kind.replace(" ", "-")
