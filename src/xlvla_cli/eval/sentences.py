"""Whether the sentence matters: other words, two tasks on one table, a wrong sentence."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla.paper import code, known
from xlvla.rig import Rig
from xlvla_cli.eval.failure import OTHER
from xlvla_cli.eval.table import Rate, percentages, rate
from xlvla_cli.eval.trial import Outcome, Trial

if TYPE_CHECKING:
    from rich.console import Console

TRAINED = "trained"
PARAPHRASED = "paraphrased"
BESIDE = "beside"
WRONG = "wrong"

FILES = ("sentences.json", "sentences.md")

LEGEND = (
    "Shares of trials, with 95% Wilson score intervals. A paraphrase is never trained on; every "
    "seed is asked once with the trained sentence and once with a paraphrase. With the things of "
    "two tasks on the table, an episode ends as soon as either task is done. A wrong sentence is "
    "that of another task, whose things are not there: the task of the table should not be done."
)

TrialsOf = Callable[[Rig, Sequence[int]], list[Trial]]
"""Trials of a rig with its task and sentence, over some seeds."""


@dataclass(frozen=True)
class Asked:
    """A trial, and which question it is part of: trained, paraphrased, beside or wrong."""

    question: str
    trial: Trial

    @property
    def sentence(self) -> str:
        assert self.trial.rig.policy is not None
        return self.trial.rig.policy.instruction


@dataclass(frozen=True)
class Table:
    """One of the tables: its title, the names of its columns, and rows of as many words."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> Iterator[str]:
        yield f"### {self.title}"
        yield ""
        for row in (self.head, ["---"] * len(self.head), *self.rows):
            yield f"| {' | '.join(row)} |"
        yield ""


def questions(rig: Rig, task: str, seeds: Sequence[int], trials_of: TrialsOf) -> list[Asked]:
    """Every trial of one task and pair of hands. `rig` is that of the task, with its sentence."""
    from xlvla_sim.world import load_task

    found = load_task(task)
    asked = [Asked(TRAINED, trial) for trial in trials_of(rig, seeds)]
    for seed in seeds:
        if found.paraphrases:
            words = found.paraphrases[seed % len(found.paraphrases)]
            asked += [Asked(PARAPHRASED, trial) for trial in trials_of(told(rig, words), [seed])]
    if found.beside:
        assert rig.sim is not None
        shared = replace(rig, sim=replace(rig.sim, task=f"{task}+{found.beside}"))
        asked += [Asked(BESIDE, trial) for trial in trials_of(shared, seeds)]
    others = [name for name in known() if name != task]
    for seed in seeds:
        words = load_task(others[seed % len(others)]).sentence
        asked += [Asked(WRONG, trial) for trial in trials_of(told(rig, words), [seed])]
    return asked


def told(rig: Rig, sentence: str) -> Rig:
    """The rig with another instruction."""
    return rig_file.with_choices(rig, instruction=sentence)


def refuse_trained(tasks: Sequence[str], sentences: Sequence[str]) -> None:
    """Refuses weights that were trained on a paraphrase of one of these tasks.

    Args:
        sentences: what they were trained on.
    """
    from xlvla_sim.world import load_task

    for task in tasks:
        learned = set(load_task(task).paraphrases) & set(sentences)
        if learned:
            raise XlvlaError(
                f"these weights were trained on '{min(learned)}', which is a paraphrase of "
                f"{code(task)} and has to be new to them: train without it, or leave out the task"
            )


def tables(played: Sequence[tuple[Asked, Outcome]]) -> list[Table]:
    """The three tables, a row per task and one over all."""
    return [_other_words(played), _two_tasks(played), _wrong_sentence(played)]


def write(played: Sequence[tuple[Asked, Outcome]], policy: str, out: Path) -> None:
    """Writes the tables and every trial."""
    from xlvla import __version__

    trials: list[dict[str, Any]] = []
    for asked, outcome in played:
        trial = asked.trial
        entry = {
            "question": asked.question,
            "task": trial.task,
            "hands": "+".join(trial.hands),
            "sentence": asked.sentence,
            "seed": trial.seed,
            **asdict(outcome),
        }
        trials.append(entry)
    found = tables(played)
    document = {
        "version": __version__,
        "policy": policy,
        "interval": "Wilson score, 95%",
        "tables": [asdict(table) for table in found],
        "rates": _rates(played),
        "trials": trials,
    }
    as_json, as_markdown = FILES
    (out / as_json).write_text(json.dumps(document, indent=1) + "\n")
    lines = [line for table in found for line in table.markdown()]
    (out / as_markdown).write_text("\n".join([*lines, LEGEND]) + "\n")


def show(found: Sequence[Table], console: Console) -> None:
    from xlvla_cli.tables import table as empty

    for table in found:
        shown = empty(table.title, *table.head)
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown)


def _other_words(played: Sequence[tuple[Asked, Outcome]]) -> Table:
    rows: list[tuple[str, ...]] = []
    for name, some in _by_task(played, (TRAINED, PARAPHRASED)):
        trained = _rate(some, TRAINED)
        other = _rate(some, PARAPHRASED)
        points = "-"
        if trained and other:
            points = f"{100 * (other.sr - trained.sr):+.0f} points"
        rows.append((name, _shown(trained), _shown(other), points))
    head = ("task", "done when asked as trained", "in other words", "difference")
    return Table("Paraphrases: the same task in words never trained on", head, tuple(rows))


def _two_tasks(played: Sequence[tuple[Asked, Outcome]]) -> Table:
    rows: list[tuple[str, ...]] = []
    for name, some in _by_task(played, (BESIDE,)):
        instead = [outcome.kind == OTHER for _, outcome in some]
        other = percentages(sum(instead) / len(instead), len(instead))
        rows.append((name, _shown(_rate(some, BESIDE)), other))
    head = ("asked + beside", "the task asked for was done", "the other one was done instead")
    return Table("Two tasks on the table: the sentence decides", head, tuple(rows))


def _wrong_sentence(played: Sequence[tuple[Asked, Outcome]]) -> Table:
    rows: list[tuple[str, ...]] = []
    for name, some in _by_task(played, (TRAINED, WRONG)):
        rows.append((name, _shown(_rate(some, TRAINED)), _shown(_rate(some, WRONG))))
    head = ("task on the table", "done when asked for", "done with a wrong sentence")
    return Table("Wrong sentence: the task must not be done", head, tuple(rows))


def _by_task(
    played: Sequence[tuple[Asked, Outcome]], questions: Sequence[str]
) -> Iterator[tuple[str, list[tuple[Asked, Outcome]]]]:
    """The answers to some questions by task, then all, where they are of several."""
    some = [(asked, outcome) for asked, outcome in played if asked.question in questions]
    tasks = list(dict.fromkeys(asked.trial.task for asked, _ in some))
    for task in tasks:
        yield code(task), [entry for entry in some if entry[0].trial.task == task]
    if len(tasks) > 1:
        yield "all", some


def _rate(played: Sequence[tuple[Asked, Outcome]], question: str) -> Rate | None:
    outcomes = [outcome for asked, outcome in played if asked.question == question]
    return rate(outcomes) if outcomes else None


def _rates(played: Sequence[tuple[Asked, Outcome]]) -> Mapping[str, Any]:
    """Over all tasks, by question."""
    found: dict[str, Any] = {}
    for question in (TRAINED, PARAPHRASED, BESIDE, WRONG):
        over = _rate(played, question)
        found[question] = None if over is None else asdict(over)
    return found


def _shown(over: Rate | None) -> str:
    return "-" if over is None else percentages(over.sr, over.trials)
