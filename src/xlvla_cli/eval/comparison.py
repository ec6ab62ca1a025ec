"""Two policies compared over the trials that both have played: same task, hands and seed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.files import reading_card
from xlvla.paper import code

if TYPE_CHECKING:
    from rich.console import Console

RESAMPLES = 2000
"""How often pairs are drawn anew for an interval."""


@dataclass(frozen=True)
class Pair:
    """A trial as both have played it, the first one's outcome first."""

    task: str
    success: tuple[bool, bool]
    stage: tuple[float, float]


@dataclass(frozen=True)
class Evaluation:
    """What a folder holds: success and share of stages by task, hands and seed."""

    policy: str
    world: str
    trials: Mapping[tuple[str, str, int], tuple[bool, float]]


@dataclass(frozen=True)
class Difference:
    """Of the second from the first over some pairs.

    Args:
        rates: success rate of each.
        only: how many pairs only the one, and only the other, has succeeded in.
        p: of McNemar's exact test: how likely successes would be so unevenly shared if both were
            equally good.
        stage: mean difference of the share of stages reached.
        interval: 95% of that, bootstrapped over pairs.
    """

    pairs: int
    rates: tuple[float, float]
    only: tuple[int, int]
    p: float
    stage: float
    interval: tuple[float, float]


def mcnemar(first: int, second: int) -> float:
    """Two-sided exact probability of a share as uneven as this of pairs that only one has succeeded
    in (McNemar, 1947).
    """
    uneven = first + second
    tail = sum(math.comb(uneven, count) for count in range(min(first, second) + 1))
    return min(1.0, 2 * tail / 2**uneven)


def difference(pairs: Sequence[Pair]) -> Difference:
    """Over at least one pair."""
    success = np.array([pair.success for pair in pairs])
    first, second = success.T
    only_first = int((first & ~second).sum())
    only_second = int((second & ~first).sum())
    stage = np.array([pair.stage[1] - pair.stage[0] for pair in pairs])
    drawn = np.random.default_rng(0).multinomial(
        len(pairs), np.full(len(pairs), 1 / len(pairs)), RESAMPLES
    )
    low, high = np.percentile(drawn @ stage / len(pairs), [2.5, 97.5])
    return Difference(
        pairs=len(pairs),
        rates=(float(first.mean()), float(second.mean())),
        only=(only_first, only_second),
        p=mcnemar(only_first, only_second),
        stage=float(stage.mean()),
        interval=(float(low), float(high)),
    )


def compare(first: Path, second: Path, console: Console) -> None:
    """Prints the comparison of two folders of `xlvla eval`, by task and over all."""
    from rich.table import Table

    evaluations = [_evaluation(folder) for folder in (first, second)]
    pairs = _pairs(*evaluations)
    if not pairs:
        raise XlvlaError(
            f"{first} and {second} have no trial of the same task, hands and seed: play both with "
            "the same --tasks, --hands and --seed"
        )
    table = Table(
        "task", "pairs", "A", "B", "only A", "only B", "McNemar p", "B - A, stages reached"
    )
    for name, some in _by_task(pairs):
        table.add_row(name, *_cells(difference(some)))
    for letter, folder, each in zip("AB", (first, second), evaluations, strict=True):
        console.print(f"{letter}: {folder}, {each.policy}", highlight=False)
    if evaluations[0].world != evaluations[1].world:
        console.print("they were played in worlds of other code: seeds may not mean the same")
    console.print(table)
    console.print(
        "p: McNemar's exact test, two-sided; stages: mean difference of the share reached, with "
        f"its 95% interval from {RESAMPLES} bootstraps over pairs"
    )


def _cells(found: Difference) -> Iterator[str]:
    low, high = found.interval
    yield str(found.pairs)
    yield from (f"{rate:.0%}" for rate in found.rates)
    yield from map(str, found.only)
    yield f"{found.p:.3f}"
    yield f"{100 * found.stage:+.0f}% [{100 * low:+.0f}, {100 * high:+.0f}]"


def _by_task(pairs: Sequence[Pair]) -> Iterator[tuple[str, list[Pair]]]:
    """The pairs of every task, then all, where they are of several."""
    tasks = list(dict.fromkeys(pair.task for pair in pairs))
    for task in tasks:
        yield code(task), [pair for pair in pairs if pair.task == task]
    if len(tasks) > 1:
        yield "all", list(pairs)


def _pairs(first: Evaluation, second: Evaluation) -> list[Pair]:
    pairs: list[Pair] = []
    for key, (success, stage) in first.trials.items():
        if key in second.trials:
            other_success, other_stage = second.trials[key]
            task, _, _ = key
            pairs.append(Pair(task, (success, other_success), (stage, other_stage)))
    return pairs


def _evaluation(folder: Path) -> Evaluation:
    """What a folder of `xlvla eval` holds; raises XlvlaError where it holds nothing."""
    path = folder / "results.json"
    if not path.is_file():
        raise XlvlaError(f"{folder} has no results.json: `xlvla eval --out {folder}` writes one")
    with reading_card(path):
        document = json.loads(path.read_text())
        trials: dict[tuple[str, str, int], tuple[bool, float]] = {}
        for trial in document["trials"]:
            key = (str(trial["task"]), str(trial["hands"]), int(trial["seed"]))
            trials[key] = bool(trial["success"]), float(trial["stage"])
        return Evaluation(str(document["policy"]), str(document["world"]), trials)
