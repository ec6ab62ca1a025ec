"""What came of a series: rates with intervals, and contenders compared over the scenes that both
have played.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from xlvla.paper import code
from xlvla_cli.eval.comparison import Difference, Pair, difference
from xlvla_cli.eval.table import Rate, rate
from xlvla_cli.eval.trial import Outcome
from xlvla_cli.trials.series import Series, Trial


@dataclass(frozen=True)
class Row:
    """Rates of all contenders over the trials of a block, or over all; None without a trial."""

    name: str
    rates: tuple[Rate | None, ...]


@dataclass(frozen=True)
class Comparison:
    """Two contenders, by their numbers, over the pairs of trials of equal task, hands and scene."""

    first: int
    second: int
    name: str
    difference: Difference


def rows(series: Series) -> list[Row]:
    """A row for every task and hands, then one over all where they are several."""
    found = [
        Row(block_name(block), _rates(series, [t for t in series.scored if t.block == block]))
        for block in series.blocks
    ]
    if len(found) > 1:
        found.append(Row("all", _rates(series, series.scored)))
    return found


def comparisons(series: Series) -> list[Comparison]:
    """Every two contenders, by block and over all."""
    found: list[Comparison] = []
    for first, second in combinations(range(len(series.contenders)), 2):
        by_block = {block: pairs(series, first, second, block) for block in series.blocks}
        for block, some in by_block.items():
            if some:
                found.append(Comparison(first, second, block_name(block), difference(some)))
        every = [pair for some in by_block.values() for pair in some]
        if every and len(by_block) > 1:
            found.append(Comparison(first, second, "all", difference(every)))
    return found


def pairs(series: Series, first: int, second: int, block: tuple[str, str]) -> list[Pair]:
    """The scenes of a block that both contenders have played and were scored in."""
    by_contender: tuple[dict[int, Trial], dict[int, Trial]] = {}, {}
    for trial in series.scored:
        if trial.block != block:
            continue
        for played, number in zip(by_contender, (first, second), strict=True):
            if trial.contender == number:
                played[trial.scene] = trial
    found: list[Pair] = []
    for scene, one in by_contender[0].items():
        other = by_contender[1].get(scene)
        if other is not None:
            found.append(Pair(one.task, (one.success, other.success), (one.stage, other.stage)))
    return found


def block_name(block: tuple[str, str]) -> str:
    """`PC xhand`; two hands alike count as one."""
    task, hands = block
    return f"{code(task)} {'+'.join(dict.fromkeys(hands.split('+')))}"


def rated(rate: Rate | None, which: str) -> str:
    """`7/10 70% [40, 89]` of successes (`sr`), without the count of stages (`psr`)."""
    if rate is None:
        return "-"
    low, high = rate.sr_interval if which == "sr" else rate.psr_interval
    share = rate.sr if which == "sr" else rate.psr
    counted = f"{rate.successes}/{rate.trials} " if which == "sr" else ""
    return f"{counted}{share:.0%} [{100 * low:.0f}, {100 * high:.0f}]"


def stages_apart(mean: float, interval: tuple[float, float]) -> str:
    """`+48% [+22, +72]`."""
    low, high = interval
    return f"{100 * mean:+.0f}% [{100 * low:+.0f}, {100 * high:+.0f}]"


def _rates(series: Series, trials: Sequence[Trial]) -> tuple[Rate | None, ...]:
    rates: list[Rate | None] = []
    for number in range(len(series.contenders)):
        outcomes = [_outcome(trial) for trial in trials if trial.contender == number]
        rates.append(rate(outcomes) if outcomes else None)
    return tuple(rates)


def _outcome(trial: Trial) -> Outcome:
    return Outcome(trial.success, trial.stage, trial.time_s, trial.end)
