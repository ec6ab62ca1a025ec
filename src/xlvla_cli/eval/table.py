"""Success rate (SR) and partial success rate (PSR) by task and hand, with intervals, as data and as
Markdown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from xlvla.holdout import Holdout
from xlvla.paper import code
from xlvla_cli.eval.trial import Outcome, Trial

HELD_OUT = "†"
LEGEND = (
    "SR: share of trials that succeed; PSR: mean share of a task's stages reached. In brackets the "
    "95% Wilson score interval; for PSR with the mean in the share's place, which is rather too "
    "wide than too narrow, as nothing within 0 and 1 varies more than yes and no."
)


def wilson(share: float, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Confidence interval (95% by default) of a success rate (Wilson, 1927); nothing is known
    without trials.
    """
    if trials == 0:
        return 0.0, 1.0
    spread = z * z / trials
    half = z * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    low = (share + spread / 2 - half) / (1 + spread)
    high = (share + spread / 2 + half) / (1 + spread)
    return max(0.0, low), min(1.0, high)


@dataclass(frozen=True)
class Rate:
    """Rates over some trials, each with its interval."""

    trials: int
    successes: int
    sr: float
    sr_interval: tuple[float, float]
    psr: float
    psr_interval: tuple[float, float]


def rate(outcomes: Sequence[Outcome]) -> Rate:
    """Over at least one trial."""
    count = len(outcomes)
    successes = sum(outcome.success for outcome in outcomes)
    sr = successes / count
    psr = math.fsum(outcome.stage for outcome in outcomes) / count
    return Rate(
        trials=count,
        successes=successes,
        sr=sr,
        sr_interval=wilson(sr, count),
        psr=psr,
        psr_interval=wilson(psr, count),
    )


@dataclass(frozen=True)
class Cell:
    """One task with one pair of hands; `held_out` where nothing of it was trained on."""

    task: str
    hands: str
    rate: Rate
    held_out: bool


@dataclass(frozen=True)
class Table:
    """Every cell, and rates over all, over the columns and over those that were held out."""

    cells: tuple[Cell, ...]
    outcomes: tuple[tuple[Trial, Outcome], ...]

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(cell.task for cell in self.cells))

    @property
    def hands(self) -> list[str]:
        return list(dict.fromkeys(cell.hands for cell in self.cells))

    def cell(self, task: str, hands: str) -> Cell | None:
        for cell in self.cells:
            if (cell.task, cell.hands) == (task, hands):
                return cell
        return None

    def over(self, *, hands: str | None = None, held_out: bool | None = None) -> Rate | None:
        """The rate over all trials of some cells; None where there are none."""
        wanted = set[tuple[str, str]]()
        for cell in self.cells:
            if hands in (None, cell.hands) and held_out in (None, cell.held_out):
                wanted.add((cell.task, cell.hands))
        outcomes: list[Outcome] = []
        for trial, outcome in self.outcomes:
            if (trial.task, "+".join(trial.hands)) in wanted:
                outcomes.append(outcome)
        return rate(outcomes) if outcomes else None

    def plain(self) -> dict[str, Any]:
        """Everything as plain data, for a JSON file."""
        trials: list[dict[str, Any]] = []
        for trial, outcome in self.outcomes:
            hands = "+".join(trial.hands)
            entry = {"task": trial.task, "hands": hands, "seed": trial.seed, **asdict(outcome)}
            trials.append(entry)
        return {
            "interval": "Wilson score, 95%",
            "all": _plain(self.over()),
            "by_hands": {hands: _plain(self.over(hands=hands)) for hands in self.hands},
            "held_out": _plain(self.over(held_out=True)),
            "trained": _plain(self.over(held_out=False)),
            "cells": [asdict(cell) for cell in self.cells],
            "trials": trials,
        }

    def markdown(self) -> Iterator[str]:
        """Lines of the tables of SR and PSR with their legend."""
        for title, which in (("Success rate", "sr"), ("Partial success rate", "psr")):
            yield f"### {title}"
            yield ""
            for row in self.rows(which):
                yield f"| {' | '.join(row)} |"
            yield ""
        if any(cell.held_out for cell in self.cells):
            yield f"{HELD_OUT} held out: this hand was never trained on this task."
            yield ""
        yield LEGEND

    def rows(self, which: str) -> Iterator[list[str]]:
        """Title, line and rows of the table of SR (`sr`) or PSR (`psr`)."""
        yield ["task", *self.hands]
        yield ["---"] * (1 + len(self.hands))
        for task in self.tasks:
            figures = [_shown(self.cell(task, hands), which) for hands in self.hands]
            yield [code(task), *figures]
        if len(self.tasks) > 1:
            figures = [_percentages(self.over(hands=hands), which) for hands in self.hands]
            yield ["all", *figures]


def table(outcomes: Sequence[tuple[Trial, Outcome]], holdout: Holdout) -> Table:
    by_cell: dict[tuple[str, str], list[tuple[Trial, Outcome]]] = {}
    for trial, outcome in outcomes:
        by_cell.setdefault((trial.task, "+".join(trial.hands)), []).append((trial, outcome))
    cells: list[Cell] = []
    for (task, hands), played in by_cell.items():
        over = rate([outcome for _, outcome in played])
        held_out = not holdout.keeps(hands.split("+"), task)
        cells.append(Cell(task, hands, over, held_out))
    return Table(tuple(cells), tuple(outcomes))


def _shown(cell: Cell | None, which: str) -> str:
    if cell is None:
        return "-"
    mark = HELD_OUT if cell.held_out else ""
    return _percentages(cell.rate, which) + mark


def _percentages(over: Rate | None, which: str) -> str:
    """`80% [49, 94]`."""
    if over is None:
        return "-"
    return percentages(getattr(over, which), over.trials)


def percentages(share: float, trials: int) -> str:
    """A share with its 95% Wilson interval: `80% [49, 94]`."""
    low, high = wilson(share, trials)
    return f"{share:.0%} [{100 * low:.0f}, {100 * high:.0f}]"


def _plain(over: Rate | None) -> Mapping[str, Any] | None:
    return None if over is None else asdict(over)
