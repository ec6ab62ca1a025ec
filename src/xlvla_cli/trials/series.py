"""A series of trials in a file: what is compared, in which order, and what each trial was scored.

The file is replaced at once at every change, so that whatever ends the program, the series goes on
from its last trial.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from xlvla import __version__, files
from xlvla.errors import XlvlaError
from xlvla.ranges import Range
from xlvla.strict import build
from xlvla.text import plain

FILE = "trials.json"

State = Literal["waiting", "begun", "ended", "scored"]

Judge = Literal["", "person", "simulation"]

Share = Annotated[float, Range(0.0, 1.0)]


@dataclass(frozen=True)
class Contender:
    """A policy that is compared.

    Args:
        name: as it was given.
        policy: the `policy` section of a rig.
        fingerprint: of its settings and weights, by which a change of either is known.
    """

    name: str
    policy: Mapping[str, Any]
    fingerprint: str


@dataclass(frozen=True)
class Trial:
    """One episode of one contender.

    Args:
        number: counted from 1, in the order of play.
        hands: from left to right, joined by '+'.
        scene: seed that the places of the task's things are drawn with.
        contender: which one acts, counted from 0 in the order of the series.
        state: 'begun' while it is played, 'ended' until it is scored.
        attempts: how often it was begun.
        time_s: from letting the policy drive to its end.
        end: what ended it.
        recording: folder of its recording; '' where there is none.
        stage: share of the task's stages that were reached, in equal steps.
        judge: who scored it.
    """

    number: int
    task: str
    hands: str
    scene: int
    contender: int
    state: State = "waiting"
    attempts: int = 0
    time_s: float = 0.0
    end: str = ""
    recording: str = ""
    stage: Share = 0.0
    success: bool = False
    notes: str = ""
    judge: Judge = ""

    @property
    def block(self) -> tuple[str, str]:
        """What is not changed between the trials of a block: its task and hands."""
        return self.task, self.hands


@dataclass(frozen=True)
class Series:
    """All trials of a comparison, in the order of play.

    Args:
        rig: name of the rig that is evaluated.
        seed: that the order was drawn with.
        version: of xlvla, that drew it.
    """

    rig: str
    seed: int
    contenders: tuple[Contender, ...]
    trials: tuple[Trial, ...]
    version: str = __version__

    @property
    def next(self) -> Trial | None:
        """The first trial without a score."""
        return next((trial for trial in self.trials if trial.state != "scored"), None)

    @property
    def scored(self) -> tuple[Trial, ...]:
        return tuple(trial for trial in self.trials if trial.state == "scored")

    @property
    def blocks(self) -> tuple[tuple[str, str], ...]:
        """Task and hands of every block, in the order of play."""
        return tuple(dict.fromkeys(trial.block for trial in self.trials))

    def trial(self, number: int) -> Trial:
        """The trial of that number; raises XlvlaError where there is none."""
        for trial in self.trials:
            if trial.number == number:
                return trial
        raise XlvlaError(f"there is no trial {number}: they go from 1 to {len(self.trials)}")

    def with_trial(self, changed: Trial) -> Series:
        """The series with a trial in the place of the one that bears its number."""
        trials = [changed if trial.number == changed.number else trial for trial in self.trials]
        return replace(self, trials=tuple(trials))

    def save(self, folder: Path) -> None:
        """Replaces the file at once."""
        files.write_text(folder / FILE, json.dumps(asdict(self), indent=1) + "\n")


def load(folder: Path) -> Series:
    """The series in a folder; raises XlvlaError where there is none or its file is damaged."""
    path = folder / FILE
    try:
        document = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise XlvlaError(
            f"{folder} holds no trials: `xlvla trials new {folder} --policy A --policy B` draws "
            "them"
        ) from None
    except (ValueError, RecursionError) as error:
        raise XlvlaError(f"{path} is not valid JSON: {plain(error, 120)}") from None
    series, faults = build(Series, document, "trials")
    if series is None or faults:
        raise XlvlaError(f"{path}: {'; '.join(faults)}")
    _refuse_unsound(series, path)
    return series


def _refuse_unsound(series: Series, path: Path) -> None:
    """Raises XlvlaError where trials are not counted from 1, or name a contender that is not
    there.
    """
    numbers = [trial.number for trial in series.trials]
    if numbers != list(range(1, len(numbers) + 1)):
        raise XlvlaError(f"{path}: trials must be numbered 1 to {len(numbers)}, in order")
    for trial in series.trials:
        if not 0 <= trial.contender < len(series.contenders):
            raise XlvlaError(f"{path}: trial {trial.number} is of no contender of the file")


def draw(
    blocks: Sequence[tuple[str, str]], scenes: Sequence[int], contenders: int, seed: int
) -> tuple[Trial, ...]:
    """Every contender plays every scene of every block, one after the other: what drifts in a lab
    meets all of them alike.

    Args:
        blocks: tasks with their hands; those of equal hands should follow each other.
    """
    rng = np.random.default_rng(seed)
    trials: list[Trial] = []
    for task, hands in blocks:
        orders = balanced(contenders, len(scenes), rng)
        for scene, order in zip(scenes, orders, strict=True):
            for contender in order:
                trials.append(Trial(len(trials) + 1, task, hands, scene, contender))
    return tuple(trials)


def balanced(contenders: int, scenes: int, rng: np.random.Generator) -> list[list[int]]:
    """The contenders' order in each scene: random, and within as many scenes as there are
    contenders each is once at each place.
    """
    orders: list[list[int]] = []
    while len(orders) < scenes:
        row = rng.permutation(contenders)
        square = [np.roll(row, shift).tolist() for shift in range(contenders)]
        orders += [square[index] for index in rng.permutation(contenders)]
    return orders[:scenes]
