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
    "95% Wilson score interval; for PSR "
    "with the mean in the share's place, which is rather too wide than too narrow, as nothing "
    "within 0 and 1 varies more than yes and no."
)


def wilson(share: float, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Confidence interval (95% by default) of a success rate (Wilson, 1927); nothing is known
    without trials.
    """
    if trials == 0:
        return 0.0, 1.0
    spread = z * z / trials
    half = z * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return max(0.0, (share + spread / 2 - half) / (1 + spread)), min(
        1.0, (share + spread / 2 + half) / (1 + spread)
    )


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
    psr = math.fsum(outcome.stage for outcome in outcomes) / count
    return Rate(
        count,
        successes,
        successes / count,
        wilson(successes / count, count),
        psr,
        wilson(psr, count),
    )


@dataclass(frozen=True)
class Cell:
    """One task with one pair of hands; `held_out` says that nothing of it was trained on."""

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
        return next((cell for cell in self.cells if (cell.task, cell.hands) == (task, hands)), None)

    def over(self, *, hands: str | None = None, held_out: bool | None = None) -> Rate | None:
        """The rate over all trials of some cells; None where there are none."""
        wanted = {
            (c.task, c.hands)
            for c in self.cells
            if hands in (None, c.hands) and held_out in (None, c.held_out)
        }
        outcomes = [
            outcome
            for trial, outcome in self.outcomes
            if (trial.task, "+".join(trial.hands)) in wanted
        ]
        return rate(outcomes) if outcomes else None

    def plain(self) -> dict[str, Any]:
        means = {hands: _plain(self.over(hands=hands)) for hands in self.hands}
        splits = {
            "held_out": _plain(self.over(held_out=True)),
            "trained": _plain(self.over(held_out=False)),
        }
        trials = [
            {"task": trial.task, "hands": "+".join(trial.hands), "seed": trial.seed}
            | asdict(outcome)
            for trial, outcome in self.outcomes
        ]
        return (
            {"interval": "Wilson score, 95%", "all": _plain(self.over()), "by_hands": means}
            | splits
            | {
                "cells": [asdict(cell) for cell in self.cells],
                "trials": trials,
            }
        )

    def markdown(self) -> Iterator[str]:
        for title, which in (("Success rate", "sr"), ("Partial success rate", "psr")):
            yield from (f"### {title}", "")
            yield from (f"| {' | '.join(row)} |" for row in self.rows(which))
            yield ""
        if any(cell.held_out for cell in self.cells):
            yield from (f"{HELD_OUT} held out: this hand was never trained on this task.", "")
        yield LEGEND

    def rows(self, which: str) -> Iterator[list[str]]:
        """Title, line and rows of the table of SR (`sr`) or PSR (`psr`)."""
        yield ["task", *self.hands]
        yield ["---"] * (1 + len(self.hands))
        for task in self.tasks:
            yield [code(task), *(_shown(self.cell(task, hands), which) for hands in self.hands)]
        if len(self.tasks) > 1:
            yield ["all", *(_percentages(self.over(hands=hands), which) for hands in self.hands)]


def table(outcomes: Sequence[tuple[Trial, Outcome]], holdout: Holdout) -> Table:
    by_cell: dict[tuple[str, str], list[tuple[Trial, Outcome]]] = {}
    for trial, outcome in outcomes:
        by_cell.setdefault((trial.task, "+".join(trial.hands)), []).append((trial, outcome))
    cells = (
        Cell(
            task,
            hands,
            rate([outcome for _, outcome in played]),
            not holdout.keeps(hands.split("+"), task),
        )
        for (task, hands), played in by_cell.items()
    )
    return Table(tuple(cells), tuple(outcomes))


def _shown(cell: Cell | None, which: str) -> str:
    return (
        "-"
        if cell is None
        else _percentages(cell.rate, which) + (HELD_OUT if cell.held_out else "")
    )


def _percentages(found: Rate | None, which: str) -> str:
    """`80% [49, 94]`."""
    if found is None:
        return "-"
    low, high = getattr(found, f"{which}_interval")
    return f"{getattr(found, which):.0%} [{100 * low:.0f}, {100 * high:.0f}]"


def _plain(found: Rate | None) -> Mapping[str, Any] | None:
    return found and asdict(found)
