"""`xlvla evidence`: from nothing to every table that says what the latent is worth, on one page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla_cli.dataclass_options import options_of
from xlvla_cli.evidence.plan import FULL, QUICK, EvidenceChoice
from xlvla_cli.options import Workers

if TYPE_CHECKING:
    from rich.console import Console

    from xlvla_cli.evidence.steps import Steps


def register(app: typer.Typer) -> None:
    app.command("evidence")(evidence)


@options_of(choice=EvidenceChoice)
def evidence(
    *,
    out: Annotated[
        Path, typer.Option(help="Folder for everything: data, weights, outcomes, index.html.")
    ] = Path("out/evidence"),
    quick: Annotated[
        bool, typer.Option("--quick", help="A thin slice: two tasks, two hands, a few episodes.")
    ] = False,
    only_plan: Annotated[
        bool, typer.Option("--plan", help="Show steps, commands and estimate, and do nothing.")
    ] = False,
    workers: Workers = 0,
    choice: Mapping[str, Any],
) -> None:
    """Collect, train and evaluate all that the tables need, by the commands one would type, and
    write them on one page. The same command goes on where it was stopped.
    """
    from dataclasses import replace

    from xlvla import screen
    from xlvla_cli.evidence import page
    from xlvla_cli.evidence.plan import steps
    from xlvla_cli.evidence.steps import Steps
    from xlvla_cli.workers import cores

    plan = replace(QUICK if quick else FULL, **choice)
    all_steps = Steps(steps(plan, out, workers or cores()), out / "steps")
    console = screen.console()
    _show(all_steps, console, commands=only_plan)
    if only_plan:
        return
    all_steps.run(console, after_each=lambda: page.write(plan, all_steps, out))
    page.write(plan, all_steps, out)
    console.print(f"written: {out / page.FILE}", highlight=False)


def _show(all_steps: Steps, console: Console, *, commands: bool) -> None:
    """The steps, and what those that are left take."""
    from rich.table import Table

    heads = ("step", "minutes", "command") if commands else ("step", "minutes")
    table = Table(*heads)
    left = 0.0
    for step in all_steps.steps:
        minutes = f"{all_steps.minutes(step):.1f}"
        if all_steps.finished(step):
            minutes = "done"
        else:
            left += all_steps.minutes(step)
        table.add_row(step.name, minutes, *([step.shell] if commands else []))
    console.print(table)
    console.print(
        f"about {left:.0f} minutes are left; where no step of a kind has been played here, from "
        "rough rates",
        highlight=False,
    )
