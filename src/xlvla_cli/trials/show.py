"""`xlvla trials show`: how far a series is, and at its end what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla_cli.trials import Folder
from xlvla_cli.trials.new import how_to_go_on
from xlvla_cli.trials.series import Series, load

if TYPE_CHECKING:
    from rich.console import Console

REPORT = "report.html"


def register(app: typer.Typer) -> None:
    app.command("show")(show)


def show(
    folder: Folder,
    unblind: Annotated[
        bool,
        typer.Option(
            "--unblind",
            help="Say who acted before all trials are scored, which ends the blindness.",
        ),
    ] = False,
    films: Annotated[
        bool, typer.Option("--films/--no-films", help="Make films of the recordings.")
    ] = True,
) -> None:
    """Show how far the trials are; once all are scored, rates with intervals, paired tests and a
    page with films.
    """
    from xlvla.screen import console

    series = load(folder)
    shown = console()
    left = len(series.trials) - len(series.scored)
    if left and not unblind:
        _show_progress(series, folder, shown)
        return
    if not series.scored:
        shown.print("no trial is scored yet")
        return
    _show_results(series, shown)
    if left:
        shown.print(f"{left} trials are not scored yet")
    shown.print(f"written: {_write_report(series, folder, films, shown)}")


def _show_progress(series: Series, folder: Path, shown: Console) -> None:
    from xlvla_cli.tables import table
    from xlvla_cli.trials.results import block_name

    progress = table("trials", "", "scored", "of")
    for block in series.blocks:
        of_block = [trial for trial in series.trials if trial.block == block]
        scored = [trial for trial in of_block if trial.state == "scored"]
        progress.add_row(block_name(block), str(len(scored)), str(len(of_block)))
    shown.print(progress)
    shown.print("who acted is said once all are scored; --unblind says it now")
    shown.print(how_to_go_on(folder, series))


def _show_results(series: Series, shown: Console) -> None:
    from xlvla_cli.eval.comparison import RESAMPLES
    from xlvla_cli.tables import table
    from xlvla_cli.trials.results import comparisons, rated, rows, stages_apart

    names = [contender.name for contender in series.contenders]
    for title, which in (("success", "sr"), ("share of stages", "psr")):
        rates = table(f"{title}, with 95% Wilson interval", "", *names)
        for row in rows(series):
            rates.add_row(row.name, *(rated(each, which) for each in row.rates))
        shown.print(rates)
    paired = table(
        "pairs: the same task, hands and scene",
        "",
        "A",
        "B",
        "pairs",
        "only A",
        "only B",
        "McNemar p",
        "B - A, stages",
    )
    for each in comparisons(series):
        found = each.difference
        paired.add_row(
            each.name,
            names[each.first],
            names[each.second],
            str(found.pairs),
            *map(str, found.only),
            f"{found.p:.3f}",
            stages_apart(found.stage, found.interval),
        )
    shown.print(paired)
    shown.print(
        "p: McNemar's exact test, two-sided; stages: mean difference of the share reached, with "
        f"its 95% interval from {RESAMPLES} bootstraps over pairs"
    )


def _write_report(series: Series, folder: Path, films: bool, shown: Console) -> Path:
    from xlvla_cli.trials.films import film_path, make_films
    from xlvla_cli.trials.report import write

    if films:
        with shown.status("making films"):
            for line in make_films(series, folder):
                shown.print(line)
    made = {
        trial.number: path.relative_to(folder).as_posix()
        for trial in series.scored
        if (path := film_path(folder, trial)).is_file()
    }
    return write(series, made, folder / REPORT)
