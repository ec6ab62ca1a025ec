"""`xlvla trials score`: says otherwise how a trial was, or has it played again."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from xlvla.errors import XlvlaError
from xlvla_cli.trials import Folder
from xlvla_cli.trials.series import Judge, Trial, load


def register(app: typer.Typer) -> None:
    app.command("score")(score)


def score(
    folder: Folder,
    number: Annotated[int, typer.Argument(help="Number of the trial.", min=1)],
    stages: Annotated[
        int | None, typer.Option(min=0, help="How many stages of the task it reached, in order.")
    ] = None,
    notes: Annotated[str | None, typer.Option(help="What there is to say of it.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="It counts for nothing and is played again.")
    ] = False,
) -> None:
    """Correct the score of a trial; who acted in it stays unsaid."""
    from xlvla_sim.world import load_task

    series = load(folder)
    trial = series.trial(number)
    if again == (stages is not None):
        raise XlvlaError("say --stages or --again")
    if again:
        series.with_trial(_anew(trial, notes)).save(folder)
        typer.echo(f"trial {number} is played again")
        return
    if trial.state not in ("ended", "scored"):
        raise XlvlaError(f"trial {number} was not played yet: `xlvla trials run {folder}`")
    assert stages is not None
    every = len(load_task(trial.task).stages)
    scored = scored_with(trial, stages, every, trial.notes if notes is None else notes)
    series.with_trial(scored).save(folder)
    typer.echo(f"trial {number}: {stages} of {every} stages")


def scored_with(
    trial: Trial, stages: int, every: int, notes: str, judge: Judge = "person"
) -> Trial:
    """A trial that was scored: so many stages of all of them."""
    if not 0 <= stages <= every:
        raise XlvlaError(f"the task {trial.task} has {every} stages: say 0 to {every}")
    return replace(
        trial,
        state="scored",
        stage=stages / every,
        success=stages == every,
        notes=notes,
        judge=judge,
    )


def _anew(trial: Trial, notes: str | None) -> Trial:
    fresh = Trial(trial.number, trial.task, trial.hands, trial.scene, trial.contender)
    return replace(fresh, attempts=trial.attempts, notes=trial.notes if notes is None else notes)
