"""The page of `xlvla evidence`: its tables and curves, from the files that the steps have left."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlvla.paper import code
from xlvla_cli.eval.table import percentages
from xlvla_cli.evidence.plan import (
    APART,
    HELD_OUT,
    LATENT,
    RAW,
    REPLAY,
    RETARGETED,
    ROS,
    SECOND,
    UNSEEN,
    EvidenceChoice,
    Places,
    hands_of,
    held_out,
    way_of,
)

if TYPE_CHECKING:
    from xlvla_cli.evidence.steps import Step, Steps

FILE = "index.html"

CSS = """
.figure svg { width: 100%; height: auto; }
code { font-size: 12px; overflow-wrap: anywhere; }
.missing { color: #5a6270; font-style: italic; }
"""

VALIDATION = re.compile(r"step (\d+), ([\d.]+) min: flow loss ([\d.]+), wrist/tips off (\d+)/")
"""A line that training prints: step, minutes, loss, the wrist's first error [mm]."""


@dataclass(frozen=True)
class Played:
    """A trial of an evaluation."""

    task: str
    hands: str
    seed: int
    success: bool
    stage: float
    held_out: bool

    @property
    def key(self) -> tuple[str, str, int]:
        return self.task, self.hands, self.seed


def write(plan: EvidenceChoice, all_steps: Steps, out: Path) -> None:
    """Writes the page; what has not been played yet is said to be missing."""
    from xlvla import files
    from xlvla_data.report import style

    places = Places(out)
    sections = [
        _head(plan, all_steps),
        _section("Success by task and hand, one set of weights", _by_task_and_hand(places)),
        _section("The latent beside its baselines", _ways(plan, places, all_steps)),
        _section("Held-out pairs of hand and task", _zero_shot(plan, places)),
        _section("Hands in no data", _unseen(plan, places)),
        _section("Demonstrations of one hand replayed on the others", _replayed(places)),
        *_sentences(places),
        _section("On the running graph", _on_the_graph(plan, places)),
        _section("Trained a second time", _second(plan, places)),
        _section("Validation while training", _curves(all_steps)),
        _section("Commands", _commands(all_steps)),
    ]
    files.write_text(out / FILE, style.document("Evidence", "\n".join(sections), CSS))


def trials(folder: Path) -> list[Played] | None:
    """Of a folder of `xlvla eval`; None where there are none yet."""
    try:
        document = json.loads((folder / "results.json").read_text())
    except (OSError, ValueError):
        return None
    not_trained = {(cell["task"], cell["hands"]) for cell in document["cells"] if cell["held_out"]}
    found: list[Played] = []
    for trial in document["trials"]:
        place = (trial["task"], trial["hands"])
        found.append(
            Played(*place, trial["seed"], trial["success"], trial["stage"], place in not_trained)
        )
    return found


def _head(plan: EvidenceChoice, all_steps: Steps) -> str:
    done = [step for step in all_steps.steps if all_steps.finished(step)]
    minutes = sum(all_steps.minutes(step) for step in done)
    tiles = [
        (f"{len(done)} of {len(all_steps.steps)}", "steps"),
        (f"{minutes:.0f} min", "so far"),
        (f"{plan.episodes}", "demonstrations per task and hand"),
        (f"{plan.minutes:g} min", "training of a policy"),
        (f"{plan.trials}", "trials per task and hand"),
    ]
    shown = "".join(
        f"<div class=tile><b>{escape(value)}</b><span>{escape(name)}</span></div>"
        for value, name in tiles
    )
    note = (
        "Shares of trials that succeed, with 95% Wilson score intervals. All policies learn from "
        "the same demonstrations, those of one hand from its own, and for the same time, which "
        "those of one hand share. Seeds of trials were never trained on."
    )
    return f"<header><h1>Evidence</h1><div class=tiles>{shown}</div><p>{note}</p></header>"


def _section(title: str, content: str) -> str:
    shown = content or '<p class="missing">Not played.</p>'
    return f"<section><h2>{escape(title)}</h2>{shown}</section>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    heads = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = ""
    for row in rows:
        cells = "".join(f"<td class=number>{escape(cell)}</td>" for cell in row)
        body += f"<tr>{cells}</tr>"
    return f"<table><tr>{heads}</tr>{body}</table>"


def _share(played: Sequence[Played]) -> str:
    if not played:
        return "-"
    return percentages(sum(each.success for each in played) / len(played), len(played))


def _stages(played: Sequence[Played]) -> str:
    return f"{sum(each.stage for each in played) / len(played):.2f}" if played else "-"


def _by_task_and_hand(places: Places) -> str:
    played = trials(places.evaluation(LATENT))
    if played is None:
        return ""
    hands = list(dict.fromkeys(each.hands for each in played))
    rows: list[list[str]] = []
    for task in dict.fromkeys(each.task for each in played):
        of_task = [each for each in played if each.task == task]
        cells = [_share([each for each in of_task if each.hands == hand]) for hand in hands]
        rows.append([code(task), *cells, _share(of_task), _stages(of_task)])
    cells = [_share([each for each in played if each.hands == hand]) for hand in hands]
    rows.append(["all", *cells, _share(played), _stages(played)])
    link = f"eval/{LATENT}/failures.html"
    films = f'<p><a href="{link}">Failures by kind, with films</a></p>'
    return _table(["task", *hands, "all", "stages reached"], rows) + films


def _one_hand_each(plan: EvidenceChoice, places: Places) -> list[Played] | None:
    """Every hand's trials with the policy of that hand; None while one is missing."""
    together: list[Played] = []
    for hand in hands_of(plan):
        played = trials(places.evaluation(way_of(hand)))
        if played is None:
            return None
        together += played
    return together


def _ways(plan: EvidenceChoice, places: Places, all_steps: Steps) -> str:
    first, *_ = hands_of(plan)
    ways: list[tuple[str, list[Played] | None]] = [
        ("latent", trials(places.evaluation(LATENT))),
        ("raw joints, padded to the longest hand", trials(places.evaluation(RAW))),
        (f"{first} only, retargeted to the others", trials(places.evaluation(RETARGETED))),
        ("one policy per hand", _one_hand_each(plan, places)),
        ("latent without cross-hand terms", trials(places.evaluation(APART))),
    ]
    _, latent = ways[0]
    rows: list[list[str]] = []
    bars: list[tuple[str, int, int]] = []
    hands = hands_of(plan)
    for name, played in ways:
        if played is None:
            rows.append([name, *["-"] * (len(hands) + 4)])
            continue
        cells = [_share([each for each in played if each.hands == hand]) for hand in hands]
        against = ("-", "-") if played is latent else _against(latent or [], played)
        rows.append([name, *cells, _share(played), _stages(played), *against])
        bars.append((name, sum(each.success for each in played), len(played)))
    if not bars:
        return ""
    head = ["policy", *hands, "all", "stages reached", "latent ahead by", "McNemar p"]
    note = "<p>Difference and McNemar's exact probability over the same tasks, hands and seeds.</p>"
    return _table(head, rows) + note + _bars(bars)


def _against(first: Sequence[Played], second: Sequence[Played]) -> tuple[str, str]:
    """By how much the first is ahead over the same trials, and McNemar's p."""
    from xlvla_cli.eval.comparison import Pair, difference

    other = {each.key: each for each in second}
    pairs: list[Pair] = []
    for each in first:
        match = other.get(each.key)
        if match is not None:
            pairs.append(Pair(each.task, (each.success, match.success), (each.stage, match.stage)))
    if not pairs:
        return "-", "-"
    found = difference(pairs)
    ahead = found.rates[0] - found.rates[1]
    return f"{100 * ahead:+.0f} points", f"{found.p:.3f}"


def _pair_rows(
    names: tuple[str, str], first: Sequence[Played], second: Sequence[Played]
) -> list[list[str]]:
    """Two evaluations over what both have played."""
    keys = {each.key for each in first} & {each.key for each in second}
    rows: list[list[str]] = []
    for name, played in zip(names, (first, second), strict=True):
        some = [each for each in played if each.key in keys]
        rows.append([name, _share(some), _stages(some)])
    return rows


PAIR_HEAD = ("", "success", "stages reached")


def _zero_shot(plan: EvidenceChoice, places: Places) -> str:
    without = trials(places.evaluation(HELD_OUT))
    trained = trials(places.evaluation(LATENT))
    if without is None or trained is None:
        return ""
    cells = [each for each in without if each.held_out]
    rows = _pair_rows(("never trained on (zero-shot)", "the same cells, trained"), cells, trained)
    return _table(PAIR_HEAD, rows) + f"<p>Held out: {escape(held_out(plan))}.</p>"


def _unseen(plan: EvidenceChoice, places: Places) -> str:
    played = trials(places.evaluation(UNSEEN))
    trained = trials(places.evaluation(LATENT))
    if played is None:
        return ""
    rows: list[list[str]] = []
    for hand in dict.fromkeys(each.hands for each in played):
        some = [each for each in played if each.hands == hand]
        rows.append([hand, _share(some), _stages(some)])
    if trained:
        rows.append(["hands that were trained", _share(trained), _stages(trained)])
    return _table(("hand", "success", "stages reached"), rows)


def _replayed(places: Places) -> str:
    try:
        scores = json.loads((places.out / REPLAY).read_text())
    except (OSError, ValueError):
        return ""
    rows: list[list[str]] = []
    for way in dict.fromkeys(score["way"] for score in scores):
        some = [score for score in scores if score["way"] == way]
        done = sum(score["success"] for score in some) / len(some)
        rows.append(
            [
                way,
                percentages(done, len(some)),
                *(f"{sum(score[name] for score in some) / len(some):.2f}" for name in MEANS),
            ]
        )
    return _table(("way", "success", *MEANS.values()), rows)


MEANS = {"stage": "stages reached", "kept": "contacts kept", "hits": "frames with self-contact"}


def _sentences(places: Places) -> Iterator[str]:
    try:
        path = places.evaluation(LATENT) / "sentences.json"
        tables: list[dict[str, Any]] = json.loads(path.read_text())["tables"]
    except (OSError, ValueError):
        yield _section("The sentence matters", "")
        return
    for table in tables:
        yield _section(table["title"], _table(table["head"], table["rows"]))


def _on_the_graph(plan: EvidenceChoice, places: Places) -> str:
    graph = trials(places.evaluation(ROS))
    alone = trials(places.evaluation(LATENT))
    if graph is None or alone is None:
        return ""
    names = ("on the graph, policy beside real motion", "the same seeds in one process")
    return _table(PAIR_HEAD, _pair_rows(names, graph, alone))


def _second(plan: EvidenceChoice, places: Places) -> str:
    second = trials(places.evaluation(SECOND))
    first = trials(places.evaluation(LATENT))
    if second is None or first is None:
        return ""
    return _table(
        PAIR_HEAD, _pair_rows(("another seed", "the same trials, first seed"), second, first)
    )


def _commands(all_steps: Steps) -> str:
    """Every command with its time, and the hash of what it wrote."""
    rows = ""
    for step in all_steps.steps:
        took = f"{all_steps.minutes(step):.1f}" if all_steps.finished(step) else "-"
        rows += (
            f"<tr><td class=number>{escape(step.name)}</td><td class=number>{took}</td>"
            f"<td class=number><code>{_hash(step)}</code></td>"
            f"<td><code>{escape(step.shell)}</code></td></tr>"
        )
    heads = "".join(f"<th>{name}</th>" for name in ("step", "minutes", "SHA-256", "command"))
    return f"<table><tr>{heads}</tr>{rows}</table>"


def _hash(step: Step) -> str:
    import hashlib

    if step.gives.suffix != ".safetensors" or not step.gives.is_file():
        return ""
    return hashlib.sha256(step.gives.read_bytes()).hexdigest()[:16]


def _curves(all_steps: Steps) -> str:
    """The wrist's error over the minutes of every training that has printed one."""
    curves: list[tuple[str, list[float], list[float]]] = []
    for step in all_steps.steps:
        log = all_steps.log(step)
        if step.kind != "train" or not log.is_file():
            continue
        found = VALIDATION.findall(" ".join(log.read_text(errors="replace").split()))
        if found:
            minutes = [float(minute) for _, minute, _, _ in found]
            curves.append((step.name, minutes, [float(wrist) for *_, wrist in found]))
    if not curves:
        return ""
    figure, axes = _figure(3.4)
    for name, minutes, wrist_mm in curves:
        axes.plot(minutes, wrist_mm, marker="o", markersize=3, label=name)
    axes.set_xlabel("minutes of training")
    axes.set_ylabel("wrist off by [mm]")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)
    return _svg(figure)


def _bars(bars: Sequence[tuple[str, int, int]]) -> str:
    """Success of each way with its interval."""
    from xlvla_cli.eval.table import wilson

    figure, axes = _figure(0.6 + 0.45 * len(bars))
    for row, (_, successes, count) in enumerate(bars):
        share = successes / count
        low, high = wilson(share, count)
        axes.barh(row, share, color="#4c78a8", height=0.6)
        axes.plot([low, high], [row, row], color="#2b303a")
    axes.set_yticks(range(len(bars)), [name for name, _, _ in bars])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("success, 95% Wilson interval")
    return _svg(figure)


def _figure(height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _svg(figure: Any) -> str:
    from matplotlib import rc_context

    from xlvla_data.report import style

    text = StringIO()
    with rc_context(style.RC):
        figure.savefig(text, format="svg")
    drawing = text.getvalue()
    return f'<div class="figure">{drawing[drawing.index("<svg") :]}</div>'
