"""`xlvla eval`: how often a policy, or the scripted expert, succeeds in simulation, by task and
hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla import rig_file
from xlvla.errors import XlvlaError, unknown
from xlvla.rig import Rig
from xlvla.types import Side
from xlvla_cli.dataclass_options import options_of
from xlvla_cli.eval.choice import EvaluationChoice
from xlvla_cli.eval.trial import video_path
from xlvla_cli.options import Fresh

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from xlvla.holdout import Holdout
    from xlvla_cli.eval.outcome_file import OutcomeFile
    from xlvla_cli.eval.table import Rate, Table
    from xlvla_cli.eval.trial import Film, Outcome, Trial

OUT = Path("out/eval")


def register(app: typer.Typer) -> None:
    app.command("eval")(evaluate)


@options_of(choice=EvaluationChoice)
def evaluate(
    *,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for results.json, table.md, heatmap.png, videos and failures.html; "
            "finished trials are not repeated."
        ),
    ] = OUT,
    fresh: Fresh = False,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            help="Play nothing: compare two such folders over the trials that are in both.",
            metavar="FOLDER FOLDER",
        ),
    ] = None,
    choice: Mapping[str, Any],
) -> None:
    """Count successes by task and hand; the same seed gives the same episode."""
    from xlvla import holdout as pairs
    from xlvla_cli.eval.outcome_file import OutcomeFile

    if compare is not None:
        if choice:
            given = ", ".join(f"--{name}" for name in choice)
            raise XlvlaError(f"--compare plays nothing: leave out {given}")
        from xlvla import screen
        from xlvla_cli.eval import comparison

        comparison.compare(*compare, screen.console())
        return
    plan = EvaluationChoice(**choice)
    if plan.sentences:
        _ask(plan, out, fresh=fresh)
        return
    film = _film(plan.videos, plan.ros)
    if plan.ros and (plan.policy == "expert" or plan.engine != "local" or film != "none"):
        raise XlvlaError(
            "--ros plays a policy's trials one by one without videos: leave out 'expert', --engine "
            "and --videos"
        )
    base = with_policy(rig_file.load(plan.rig), plan.policy)
    base.refuse_incomplete("an evaluation")
    holdout = pairs.parse(plan.holdout or recorded_holdout(base))
    trials = [replace(trial, film=film) for trial in _trials(base, plan)]
    outcomes = _play_all(trials, OutcomeFile(out, fresh=fresh), out, plan)
    _report(list(zip(trials, outcomes, strict=True)), holdout, plan.policy, out)


def _ask(plan: EvaluationChoice, out: Path, *, fresh: bool) -> None:
    """Plays and shows the three tables of `--sentences`."""
    from xlvla import screen
    from xlvla.paper import tasks
    from xlvla_cli.eval import sentences
    from xlvla_cli.eval.outcome_file import OutcomeFile

    if plan.policy == "expert" or plan.ros or plan.videos:
        raise XlvlaError(
            "--sentences asks a policy in one process, without videos: leave out 'expert', --ros "
            "and --videos"
        )
    base = with_policy(rig_file.load(plan.rig), plan.policy)
    base.refuse_incomplete("an evaluation")
    names = tasks(plan.tasks)
    shared = [name for name in names if "+" in name]
    if shared:
        raise XlvlaError(
            f"--sentences puts two tasks on a table itself: name single --tasks, not {shared[0]}"
        )
    sentences.refuse_trained(names, trained_sentences(base))

    def trials(rig: Rig, seeds: Sequence[int]) -> list[Trial]:
        return trials_of(
            rig, plan.policy, seeds, ros=False, delay_s=plan.delay, threads=plan.threads
        )

    seeds = range(plan.seed, plan.seed + plan.trials)
    asked: list[sentences.Asked] = []
    for pair in hand_pairs(plan.hands):
        for task in names:
            rig = for_task(for_hands(base, pair), task)
            asked += sentences.questions(rig, task, seeds, trials)
    outcomes = _play_all([each.trial for each in asked], OutcomeFile(out, fresh=fresh), out, plan)
    played = list(zip(asked, outcomes, strict=True))
    sentences.write(played, plan.policy, out)
    console = screen.console()
    sentences.show(sentences.tables(played), console)
    console.print(sentences.LEGEND, highlight=False)
    console.print(f"written: {out}/{', '.join(sentences.FILES)}", highlight=False)


def _film(videos: str | None, ros: bool) -> Film:
    """Which trials to film."""
    from xlvla_cli.eval.trial import FILMS

    wanted = videos or ("none" if ros else "failures")
    for film in FILMS:
        if wanted == film:
            return film
    raise unknown("choice of --videos", wanted, FILMS)


def _trials(base: Rig, plan: EvaluationChoice) -> Iterator[Trial]:
    """Every trial of every cell of the table."""
    from xlvla.paper import tasks

    seeds = range(plan.seed, plan.seed + plan.trials)
    for pair in hand_pairs(plan.hands):
        for task in tasks(plan.tasks):
            rig = for_task(for_hands(base, pair), task)
            yield from trials_of(
                rig, plan.policy, seeds, ros=plan.ros, delay_s=plan.delay, threads=plan.threads
            )


def with_policy(rig: Rig, policy: str) -> Rig:
    """A rig with the policy that is named on the command line: 'expert', one of the catalogue's, or
    a weights file.
    """
    from xlvla import catalog

    if rig.sim is None:
        raise XlvlaError(f"rig '{rig.name}' needs a `sim` section to be evaluated")
    if policy == "expert":
        return rig
    known = ("expert", *catalog.policies(), "or the path of a weights file")
    return named_policy(rig, policy, known)


def named_policy(rig: Rig, policy: str, known: Sequence[str]) -> Rig:
    """A rig with one of the catalogue's policies, or a weights file; XlvlaError where it is
    neither.

    Args:
        known: what that line says there is.
    """
    from xlvla import catalog

    if policy in catalog.policies():
        return rig_file.with_choices(rig, policy=policy)
    if not Path(policy).exists():
        raise unknown("policy", policy, known)
    kind = rig.policy.type if rig.policy else "xlvla"
    return rig_file.with_choices(rig, policy=kind, checkpoint=policy)


def recorded_holdout(rig: Rig) -> str:
    """The pairs of hand and task that a policy was not trained on, as its weights file has it; ''
    where it says none.
    """
    from safetensors import SafetensorError, safe_open

    if rig.policy is None or not rig.policy.checkpoint:
        return ""
    path = Path(rig.policy.checkpoint)
    if not path.is_file():
        return ""
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
    except SafetensorError:  # loading the weights reports it
        return ""
    card = json.loads(metadata.get("card", "{}"))
    return card.get("data", {}).get("holdout", "")


def trained_sentences(rig: Rig) -> tuple[str, ...]:
    """What the weights of a rig's policy were trained on; nothing where they do not say it."""
    from xlvla_cli.eval.trial import shipped_weights

    if rig.policy is None:
        return ()
    path = Path(rig.policy.checkpoint or shipped_weights(rig.policy.type))
    if not path.is_file():  # loading the policy reports it
        return ()
    from xlvla_policy.vla.rig_fit import instructions

    return instructions(path)


def for_hands(rig: Rig, pair: tuple[str, str]) -> Rig:
    hands: dict[Side, str | None] = {"left": pair[0], "right": pair[1]}
    return rig_file.with_choices(rig, hands={side: hands[side] for side in rig.sides})


def for_task(rig: Rig, task: str) -> Rig:
    """The rig in that task's world, with the task's sentence as its instruction."""
    from xlvla_sim.world import load_task

    assert rig.sim is not None
    simulated = replace(rig, sim=replace(rig.sim, task=task))
    # The expert reads no sentence.
    if simulated.policy is None:
        return simulated
    return rig_file.with_choices(simulated, instruction=load_task(task).sentence)


def hand_pairs(hands: str) -> list[tuple[str, str]]:
    """Left and right of `xhand,ability+inspire`."""
    from xlvla import catalog
    from xlvla.paper import hands as listed

    pairs: list[tuple[str, str]] = []
    for names in listed(hands):
        left, *others = names.split("+")
        if len(others) > 1:
            raise XlvlaError(f"'{names}' names {1 + len(others)} hands: give one, or left+right")
        right = others[0] if others else left
        pairs.append((catalog.hand(left).name, catalog.hand(right).name))
    return pairs


def trials_of(
    rig: Rig, policy: str, seeds: Sequence[int], *, ros: bool, delay_s: float, threads: int
) -> list[Trial]:
    """Trials of one cell of the table."""
    from xlvla.codec import Codec
    from xlvla_cli.eval.trial import Trial, facts, mark

    actor = "expert" if policy == "expert" else "policy"
    route = "ros" if ros else "direct"
    document = facts(rig, actor, route, Codec.load().hash, delay_s=delay_s, threads=threads)
    key = mark(document)
    return [Trial(rig, actor, seed, delay_s, threads, mark=key) for seed in seeds]


def _play_all(
    trials: Sequence[Trial], outcome_file: OutcomeFile, out: Path, plan: EvaluationChoice
) -> list[Outcome]:
    """The trials' outcomes; those that the file does not hold yet are played."""
    from xlvla.run import interruptible, own_domain
    from xlvla.screen import Screen
    from xlvla_cli.eval import engines
    from xlvla_cli.progress import progress_bar
    from xlvla_cli.workers import cores

    run = engines.engine(plan.engine)
    waiting = [trial for trial in trials if not finished(trial, outcome_file, out)]
    done = len(trials) - len(waiting)
    screen = Screen()
    if plan.ros:
        played = engines.through_ros(waiting, screen, own_domain())
    else:
        played = run(waiting, plan.workers or cores())
    with resumable(out), interruptible(), progress_bar(screen.console) as progress:
        if done:
            progress.console.print(f"{done} of {len(trials)} trials are in {out} already")
        bar = progress.add_task("trials", total=len(trials), completed=done)
        for trial, result in played:
            if result.film is not None:
                _save(result.film, video_path(trial, out))
            outcome_file.enter(trial, result.outcome)
            progress.console.print(_line(trial, result.outcome))
            progress.advance(bar)
    return [outcome_file.outcomes[trial.key] for trial in trials]


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Ctrl-C ends in a line that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise XlvlaError(
            f"stopped; what is finished is in {out}, and the same command goes on from there"
        ) from None


def finished(trial: Trial, outcome_file: OutcomeFile, out: Path) -> bool:
    """Whether a trial's outcome is there, and its film where one is wanted: played again, it ends
    alike.
    """
    outcome = outcome_file.outcomes.get(trial.key)
    if outcome is None:
        return False
    return not trial.films(outcome.success) or video_path(trial, out).is_file()


def _save(film: bytes, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(film)


def _line(trial: Trial, outcome: Outcome) -> Text:
    from xlvla.paper import code
    from xlvla.screen import styled

    verdict = ("success", "green") if outcome.success else ("failure", "red")
    name = f"{code(trial.task):4} {'+'.join(trial.hands):16} seed {trial.seed}"
    facts = f"stage {outcome.stage:.2f}  {outcome.time_s:5.1f} s  {outcome.text}"
    kind = f" ({outcome.kind})" if outcome.kind else ""
    return styled(f"{name}  ", verdict, f"  {facts}{kind}")


def _report(
    outcomes: list[tuple[Trial, Outcome]], holdout: Holdout, policy: str, out: Path
) -> None:
    """Shows the table and writes it in three ways."""
    from xlvla import __version__, screen
    from xlvla.codec import Codec
    from xlvla_cli.eval import failures_page
    from xlvla_cli.eval.heatmap import draw
    from xlvla_cli.eval.table import table
    from xlvla_cli.eval.trial import world_digest

    results = table(outcomes, holdout)
    first = outcomes[0][0]
    document = {
        "version": __version__,
        "policy": policy,
        "delay_s": first.delay_s,
        "threads": first.threads,
        "world": world_digest(),
        "codec": Codec.load().hash,
        "holdout": holdout.words(),
        "marks": sorted({trial.mark for trial, _ in outcomes}),
        **results.plain(),
    }
    (out / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    (out / "table.md").write_text("\n".join(results.markdown()) + "\n")
    trials = results.cells[0].rate.trials
    title = f"{Path(policy).name}, {trials} trial{'s' * (trials != 1)} per cell"
    draw(results, out / "heatmap.png", title)
    failures_page.write(outcomes, title, out)
    console = screen.console()
    _show(results, console)
    written = f"results.json, table.md, heatmap.png, {failures_page.FILE}"
    console.print(f"written: {out}/{written}", highlight=False)


def _show(results: Table, console: Console) -> None:
    from rich.table import Table as Shown

    for title, which in (("SR", "sr"), ("PSR", "psr")):
        head, _, *rows = results.rows(which)
        shown = Shown(*head, title=f"{title} with 95% Wilson interval")
        for row in rows:
            shown.add_row(*row)
        console.print(shown)
    total = results.over()
    assert total is not None
    console.print(f"success {_rates(total)}", highlight=False)
    held_out = results.over(held_out=True)
    if held_out is not None:
        console.print(f"held out: {_rates(held_out)}", highlight=False)


def _rates(rate: Rate) -> str:
    return f"{rate.successes}/{rate.trials} = {rate.sr:.0%}, PSR {rate.psr:.0%}"
