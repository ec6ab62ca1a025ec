"""`xlvla bench forgives`: by how many millimetres hands may miss before a task fails."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla.errors import XlvlaError
from xlvla.types import FIRST_EVALUATION_SEED
from xlvla_cli.options import Fresh, Hands, SimulatedRig, Tasks, Workers, listed

if TYPE_CHECKING:
    from xlvla.rig import Rig
    from xlvla_cli.eval.outcome_file import OutcomeFile
    from xlvla_cli.eval.table import Rate
    from xlvla_cli.eval.trial import Trial

MOST_MM = 200.0
"""Farther no hand is led beside its place."""

Cells = Mapping[tuple[str, str], Mapping[float, "Rate"]]
"""Rates by task and hand, then by error [mm]."""


def register(app: typer.Typer) -> None:
    app.command("forgives")(forgives)


def forgives(
    task: Tasks = "SC",
    hands: Hands = "inspire",
    errors: Annotated[
        str, typer.Option(help="By how much hands miss their places [mm], with commas.")
    ] = "0,5,10,15,20,30",
    trials: Annotated[int, typer.Option(min=1, help="Episodes per task, hand and error.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="First seed.")] = FIRST_EVALUATION_SEED,
    rig: SimulatedRig = "bimanual",
    workers: Workers = 1,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for forgives.json and forgives.png; finished trials are not repeated."
        ),
    ] = Path("out/forgives"),
    fresh: Fresh = False,
) -> None:
    """Measure success of the scripted expert over how far it misses where it takes and puts things:
    what the error of a policy in millimetres is worth.
    """
    from xlvla import paper, rig_file, screen
    from xlvla_cli.eval import engines, for_hands, for_task, hand_pairs, resumable
    from xlvla_cli.eval.outcome_file import OutcomeFile
    from xlvla_cli.progress import progress_bar
    from xlvla_cli.workers import cores

    sizes_mm = sizes(errors)
    base = rig_file.with_choices(rig_file.load(rig), policy="none")
    base.refuse_incomplete("a scripted demonstration")
    all_trials: list[Trial] = []
    for name in paper.tasks(task):
        for pair in hand_pairs(hands):
            chosen = for_task(for_hands(base, pair), name)
            all_trials += trials_of(chosen, sizes_mm, range(seed, seed + trials))
    outcome_file = OutcomeFile(out, fresh=fresh)
    waiting = [trial for trial in all_trials if trial.key not in outcome_file.outcomes]
    console = screen.console()
    with resumable(out), progress_bar(console) as progress:
        done = len(all_trials) - len(waiting)
        bar = progress.add_task("trials", total=len(all_trials), completed=done)
        for trial, result in engines.local(waiting, workers or cores()):
            outcome_file.enter(trial, result.outcome)
            progress.advance(bar)
    cells = rates(all_trials, outcome_file)
    (out / "forgives.json").write_text(json.dumps(list(_plain(cells)), indent=1) + "\n")
    _draw(cells, out / "forgives.png")
    _show(cells, sizes_mm)
    console.print(f"written: {out}/forgives.json, forgives.png", highlight=False)


def sizes(text: str) -> list[float]:
    """Errors [mm] between commas, each once; raises XlvlaError for what is none."""
    found: dict[float, None] = {}
    for word in listed(text):
        try:
            size_mm = float(word)
        except ValueError:
            size_mm = -1.0
        if not 0 <= size_mm <= MOST_MM:
            raise XlvlaError(
                f"--errors '{word}' is no error in millimetres: give numbers from 0 to "
                f"{MOST_MM:.0f} with commas, as in 0,10,20"
            )
        found[size_mm] = None
    if not found:
        raise XlvlaError("--errors names none: give millimetres with commas, as in 0,10,20")
    return list(found)


def trials_of(rig: Rig, sizes_mm: Sequence[float], seeds: Sequence[int]) -> list[Trial]:
    """The same seeds with every error."""
    from xlvla_cli.eval import trials_of

    plain = trials_of(rig, "expert", seeds, ros=False, delay_s=0.0, threads=1)
    found: list[Trial] = []
    for size_mm in sizes_mm:
        for trial in plain:
            mark = f"{trial.mark}-{size_mm:g}mm" if size_mm else trial.mark
            found.append(replace(trial, mark=mark, miss_m=size_mm / 1000))
    return found


def rates(trials: Sequence[Trial], outcome_file: OutcomeFile) -> Cells:
    """Rates of trials that have been played."""
    from xlvla_cli.eval.table import rate
    from xlvla_cli.eval.trial import Outcome

    outcomes: dict[tuple[str, str], dict[float, list[Outcome]]] = {}
    for trial in trials:
        by_size = outcomes.setdefault((trial.task, "+".join(trial.hands)), {})
        by_size.setdefault(round(1000 * trial.miss_m, 3), []).append(
            outcome_file.outcomes[trial.key]
        )
    cells: dict[tuple[str, str], dict[float, Rate]] = {}
    for name, by_size in outcomes.items():
        cells[name] = {size_mm: rate(some) for size_mm, some in by_size.items()}
    return cells


def _plain(cells: Cells) -> Iterator[dict[str, Any]]:
    for (task, hands), by_size in cells.items():
        for size_mm, over in by_size.items():
            yield {"task": task, "hands": hands, "error_mm": size_mm, **asdict(over)}


def _show(cells: Cells, sizes_mm: Sequence[float]) -> None:
    from rich.table import Table

    from xlvla import paper, screen

    heads = [f"{size_mm:g} mm" for size_mm in sizes_mm]
    table = Table("task", "hands", *heads, title="Success by how far hands miss their places")
    for (task, hands), by_size in cells.items():
        shown = [f"{over.successes}/{over.trials}" for over in by_size.values()]
        table.add_row(paper.code(task), hands, *shown)
    screen.console().print(table)


def _draw(cells: Cells, path: Path) -> None:
    """Success over millimetres, with 95% Wilson intervals."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from xlvla.paper import code

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for (task, hands), by_size in cells.items():
        sizes_mm = sorted(by_size)
        low, high = zip(*(by_size[size].sr_interval for size in sizes_mm), strict=True)
        shares = [by_size[size].sr for size in sizes_mm]
        (line,) = axes.plot(sizes_mm, shares, marker="o", label=f"{code(task)}, {hands}")
        axes.fill_between(sizes_mm, low, high, color=line.get_color(), alpha=0.15)
    axes.set_xlabel("hands miss their places by [mm]")
    axes.set_ylabel("success, 95% Wilson interval")
    axes.set_ylim(-0.02, 1.02)
    axes.legend()
    figure.savefig(path, dpi=140)
