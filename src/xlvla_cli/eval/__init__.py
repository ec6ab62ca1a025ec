"""`xlvla eval`: how often a policy, or the scripted expert, succeeds in simulation, by task and
hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla import rig_file
from xlvla.errors import XlvlaError, unknown
from xlvla.rig import Rig
from xlvla.types import FIRST_EVALUATION_SEED, Side

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from xlvla.holdout import Holdout
    from xlvla_cli.eval.outcome_file import OutcomeFile
    from xlvla_cli.eval.table import Table
    from xlvla_cli.eval.trial import Film, Outcome, Trial

OUT = Path("out/eval")


def register(app: typer.Typer) -> None:
    app.command("eval")(evaluate)


def evaluate(
    policy: Annotated[
        str,
        typer.Option(
            help="Weights file, 'expert' for the scripted expert, or a policy's name for the "
            "shipped weights."
        ),
    ] = "xlvla",
    tasks: Annotated[
        str, typer.Option(help="Tasks, the paper's codes or names, separated by commas, or 'all'.")
    ] = "PC",
    hands: Annotated[
        str,
        typer.Option(
            help="Hands, separated by commas; 'left+right' for two different ones, 'paper' for its "
            "four, 'all'."
        ),
    ] = ("xhand,inspire"),
    trials: Annotated[int, typer.Option(min=1, help="Episodes per task and hand.")] = 10,
    seed: Annotated[
        int, typer.Option(min=0, help="First seed; seeds from 1000000 on are never trained on.")
    ] = FIRST_EVALUATION_SEED,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for results.json, table.md, heatmap.png and videos; finished trials "
            "are not repeated."
            ""
        ),
    ] = OUT,
    fresh: Annotated[bool, typer.Option("--fresh", help="Discard existing results.")] = False,
    videos: Annotated[
        str | None,
        typer.Option(
            help="Which trials to record as video: none, failures, all; failures if not given."
        ),
    ] = None,
    holdout: Annotated[
        str,
        typer.Option(
            help="Held-out pairs, xhand:SC,inspire:PC, if the weights file does not list them."
        ),
    ] = "",
    ros: Annotated[
        bool,
        typer.Option("--ros", help="Run on the ROS graph in real time instead of in one process."),
    ] = False,
    engine: Annotated[
        str, typer.Option(help="Where trials run: local processes, or a ray cluster.")
    ] = "local",
    workers: Annotated[
        int, typer.Option(min=0, help="Trials run in parallel; 0 is one per core.")
    ] = 1,
    rig: Annotated[str, typer.Option(help="Rig to simulate.")] = "bimanual",
    delay: Annotated[
        float,
        typer.Option(
            min=0, help="Seconds from an observation to its chunk's taking effect, in process."
        ),
    ] = 0.15,
    threads: Annotated[int, typer.Option(min=1, help="Processor threads of a policy.")] = 1,
) -> None:
    """Count successes by task and hand; the same seed gives the same episode."""
    from xlvla import holdout as pairs
    from xlvla.paper import tasks as named
    from xlvla_cli.eval.outcome_file import OutcomeFile
    from xlvla_cli.workers import cores

    filmed = _filmed(videos, ros)
    if ros and (policy == "expert" or engine != "local" or filmed != "none"):
        raise XlvlaError(
            "--ros plays a policy's trials one by one without videos: leave out 'expert', --engine "
            "and --videos"
        )
    base = with_policy(rig_file.load(rig), policy)
    kept = pairs.parse(holdout or recorded_holdout(base))
    cells = [
        for_task(for_hands(base, pair), task) for pair in hand_pairs(hands) for task in named(tasks)
    ]
    made = [
        replace(trial, film=filmed)
        for cell in cells
        for trial in trials_of(cell, policy, range(seed, seed + trials), ros, delay, threads)
    ]
    outcomes = _play_all(made, OutcomeFile(out, fresh=fresh), out, ros, engine, workers or cores())
    _report(list(zip(made, outcomes, strict=True)), kept, policy, out)


def _filmed(videos: str | None, ros: bool) -> Film:
    """Which trials to film."""
    from xlvla_cli.eval.trial import FILMS

    chosen = videos or ("none" if ros else "failures")
    for known in FILMS:
        if chosen == known:
            return known
    raise unknown("choice of --videos", chosen, FILMS)


def with_policy(rig: Rig, policy: str) -> Rig:
    """A rig with the policy that a word of the command line means."""
    from xlvla import catalog

    if rig.sim is None or rig.policy is None:
        raise XlvlaError(f"rig '{rig.name}' needs a `policy` and a `sim` section to be evaluated")
    if policy == "expert":
        return rig
    if policy in catalog.policies():
        return rig_file.with_choices(rig, policy=policy)
    if not Path(policy).exists():
        raise unknown(
            "policy", policy, ("expert", *catalog.policies(), "or the path of a weights file")
        )
    return rig_file.with_choices(rig, checkpoint=policy)


def recorded_holdout(rig: Rig) -> str:
    """The pairs of hand and task that a policy was not trained on, as its weights file has it; ''
    where it says none.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(rig.policy.checkpoint) if rig.policy and rig.policy.checkpoint else None
    if path is None or not path.is_file():
        return ""
    try:
        with safe_open(path, "numpy") as file:
            return (
                json.loads((file.metadata() or {}).get("card", "{}"))
                .get("data", {})
                .get("holdout", "")
            )
    except SafetensorError:  # whoever loads it says so in a line
        return ""


def for_hands(rig: Rig, pair: tuple[str, str]) -> Rig:
    hands: dict[Side, str | None] = {"left": pair[0], "right": pair[1]}
    return rig_file.with_choices(rig, hands={side: hands[side] for side in rig.sides})


def for_task(rig: Rig, task: str) -> Rig:
    """The rig in that task's world, told the task's sentence."""
    from xlvla_sim.world import load_task

    assert rig.sim is not None
    return rig_file.with_choices(
        replace(rig, sim=replace(rig.sim, task=task)), instruction=load_task(task).sentence
    )


def hand_pairs(hands: str) -> list[tuple[str, str]]:
    """Left and right of `xhand,ability+inspire`."""
    from xlvla import catalog
    from xlvla.paper import hands as listed

    pairs = [tuple(name.split("+")) if "+" in name else (name, name) for name in listed(hands)]
    if wrong := [pair for pair in pairs if len(pair) != 2]:
        raise XlvlaError(
            f"'{'+'.join(wrong[0])}' names {len(wrong[0])} hands: give one, or left+right"
        )
    return [(catalog.hand(left).name, catalog.hand(right).name) for left, right in pairs]


def trials_of(
    rig: Rig, policy: str, seeds: Sequence[int], ros: bool, delay_s: float, threads: int
) -> list[Trial]:
    """Trials of one cell of the table."""
    from xlvla.codec import Codec
    from xlvla_cli.eval.trial import Trial, facts, mark

    actor = "expert" if policy == "expert" else "policy"
    named = mark(facts(rig, actor, "ros" if ros else "direct", Codec.load().hash, delay_s, threads))
    return [Trial(rig, actor, seed, delay_s, threads, mark=named) for seed in seeds]


def _play_all(
    trials: Sequence[Trial],
    outcome_file: OutcomeFile,
    out: Path,
    ros: bool,
    engine: str,
    workers: int,
) -> list[Outcome]:
    """The trials' outcomes; those that the ledger does not know yet are played."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from xlvla.run import interruptible, own_domain
    from xlvla.screen import Screen
    from xlvla_cli.eval import engines

    run = engines.engine(engine)
    waiting = [trial for trial in trials if not _known(trial, outcome_file, out)]
    screen = Screen()
    played = engines.through_ros(waiting, screen, own_domain()) if ros else run(waiting, workers)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with _resumable(out), interruptible(), Progress(*columns, console=screen.console) as progress:
        if len(waiting) < len(trials):
            progress.console.print(
                f"{len(trials) - len(waiting)} of {len(trials)} trials are in {out} already"
            )
        bar = progress.add_task("trials", total=len(trials), completed=len(trials) - len(waiting))
        for trial, result in played:
            if result.film is not None:
                _keep(result.film, _video(trial, out))
            outcome_file.enter(trial, result.outcome)
            progress.console.print(_line(trial, result.outcome))
            progress.advance(bar)
    return [outcome_file.outcomes[trial.key] for trial in trials]


@contextmanager
def _resumable(out: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise XlvlaError(
            f"stopped; what is finished is in {out}, and the same command goes on from there"
        ) from None


def _known(trial: Trial, outcome_file: OutcomeFile, out: Path) -> bool:
    """Whether a trial's outcome is there, and its film where one is wanted: played again, it ends
    alike.
    """
    outcome = outcome_file.outcomes.get(trial.key)
    return outcome is not None and (
        not trial.films(outcome.success) or _video(trial, out).is_file()
    )


def _video(trial: Trial, out: Path) -> Path:
    return out / "videos" / f"{trial.actor}-{trial.name}.mp4"


def _keep(film: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(film)


def _line(trial: Trial, outcome: Outcome) -> Text:
    from xlvla.paper import code
    from xlvla.screen import styled

    verdict = ("success", "green") if outcome.success else ("failure", "red")
    place = f"{code(trial.task):4} {'+'.join(trial.hands):16} seed {trial.seed}"
    return styled(
        f"{place}  ",
        verdict,
        f"  stage {outcome.stage:.2f}  {outcome.time_s:5.1f} s  {outcome.text}",
    )


def _report(
    outcomes: list[tuple[Trial, Outcome]], holdout: Holdout, policy: str, out: Path
) -> None:
    """Shows the table and writes it in three ways."""
    from xlvla import __version__, screen
    from xlvla.codec import Codec
    from xlvla_cli.eval.heatmap import draw
    from xlvla_cli.eval.table import table
    from xlvla_cli.eval.trial import world_digest

    found = table(outcomes, holdout)
    first = outcomes[0][0]
    about = {
        "version": __version__,
        "policy": policy,
        "delay_s": first.delay_s,
        "threads": first.threads,
        "world": world_digest(),
    }
    about |= {
        "codec": Codec.load().hash,
        "holdout": holdout.words(),
        "marks": sorted({trial.mark for trial, _ in outcomes}),
    }
    (out / "results.json").write_text(json.dumps(about | found.plain(), indent=1) + "\n")
    (out / "table.md").write_text("\n".join(found.markdown()) + "\n")
    draw(
        found,
        out / "heatmap.png",
        f"{Path(policy).name}, {found.cells[0].rate.trials} trials per cell",
    )
    console = screen.console()
    _show(found, console)
    console.print(f"written: {out}/results.json, table.md, heatmap.png", highlight=False)


def _show(found: Table, console: Console) -> None:
    from rich.table import Table as Shown

    for title, which in (("SR", "sr"), ("PSR", "psr")):
        head, _, *rows = found.rows(which)
        shown = Shown(*head, title=f"{title} with 95% Wilson interval")
        for row in rows:
            shown.add_row(*row)
        console.print(shown)
    total = found.over()
    zero = found.over(held_out=True)
    assert total is not None
    console.print(
        f"success {total.successes}/{total.trials} = {total.sr:.0%}, PSR {total.psr:.0%}",
        highlight=False,
    )
    if zero is not None:
        console.print(
            f"held out: {zero.successes}/{zero.trials} = {zero.sr:.0%}, PSR {zero.psr:.0%}",
            highlight=False,
        )
