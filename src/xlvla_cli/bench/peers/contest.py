"""A contest: the same work for everybody, each in a process of its own."""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from xlvla.errors import XlvlaError

OURS = "xlvla"


@dataclass(frozen=True)
class Contest:
    """Work that everybody does.

    Args:
        name: as it is asked for.
        title: what is done.
        unit: of the figure; more is better.
        module: where its functions are: `prepare(folder, size)`, called once, and one for each who
            takes part, which gets the folder; all return a `Result`.
        peers: by name of who takes part, the function. `OURS` is one of them.
        packages: distributions whose versions matter.
    """

    name: str
    title: str
    unit: str
    module: str
    peers: dict[str, str]
    packages: tuple[str, ...]
    prepare: str = "prepare"


@dataclass(frozen=True)
class Result:
    """What one who takes part did.

    Args:
        figure: in the contest's unit.
        fault: what of the work is wrong; '' where nothing is.
        done: share of the work that was done, where not all of it need be.
    """

    figure: float
    fault: str = ""
    done: float = 1.0


@dataclass(frozen=True)
class Standing:
    """The figures of one who takes part, a round each.

    Args:
        rounds: figures.
        ours: our figures in the same rounds.
        done: the least share of the work that was done.
    """

    who: str
    rounds: list[float]
    ours: list[float]
    done: float

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def least(self) -> float:
        return min(self.rounds)

    @property
    def most(self) -> float:
        return max(self.rounds)

    @property
    def ratio(self) -> tuple[float, float, float] | None:
        """Median, least and most of our figure over theirs, round by round; None for ourselves."""
        if self.who == OURS:
            return None
        ratios = [ours / theirs for ours, theirs in zip(self.ours, self.rounds, strict=True)]
        return statistics.median(ratios), min(ratios), max(ratios)

    def figures(self) -> dict[str, Any]:
        return {"who": self.who, "rounds": self.rounds, "ratio": self.ratio, "done": self.done}


def compared(
    contest: Contest, folder: Path, rounds: int, size: float, core: int, say: Callable[[str], None]
) -> list[Standing]:
    """Everybody's figures. In each round all work in turn, so that what else the machine does
    meets all of them.

    Raises:
        XlvlaError: a package is missing, or somebody did not do the work.
    """
    for package in contest.packages:
        _version(package)
    _run(contest, contest.prepare, folder, core, str(size))
    done = dict.fromkeys(contest.peers, 1.0)
    figures: dict[str, list[float]] = {who: [] for who in contest.peers}
    for number in range(1, rounds + 1):
        for who, function in contest.peers.items():
            say(f"{contest.title}: {who}, round {number} of {rounds}")
            result = _run(contest, function, folder, core)
            if result["fault"]:
                raise XlvlaError(f"{contest.title}: {who} {result['fault']}")
            figures[who].append(result["figure"])
            done[who] = min(done[who], result["done"])
    return [Standing(who, found, figures[OURS], done[who]) for who, found in figures.items()]


def core_of(asked: int | None) -> int:
    """The core that is asked for, or the first that this process may use: a container may have
    others than the first of the machine.
    """
    mine = sorted(os.sched_getaffinity(0))
    if asked is not None and asked not in mine:
        raise XlvlaError(f"--core {asked}: this process may use {', '.join(map(str, mine))}")
    return mine[0] if asked is None else asked


def versions(contests: Iterable[Contest]) -> dict[str, str]:
    """Of all packages that take part."""
    names = {package for contest in contests for package in contest.packages}
    return {name: _version(name) for name in (OURS, *sorted(names))}


def _version(package: str) -> str:
    try:
        return version(package)
    except ImportError:
        raise XlvlaError(
            f"{package} is not installed: `pip install 'xlvla[peers]'` brings all that are compared"
        ) from None


def _run(contest: Contest, function: str, folder: Path, core: int, *words: str) -> dict[str, Any]:
    """Calls a function of a contest in a process of its own; returns its result."""
    command = [sys.executable, "-m", __name__, contest.module, function, str(folder), str(core)]
    done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:]
        raise XlvlaError(f"{contest.title}: {function} failed: {''.join(last)}")
    return json.loads(done.stdout.splitlines()[-1])


def _work(module: str, function: str, folder: str, core: str, *words: str) -> None:
    """What the process of one who takes part does."""
    os.sched_setaffinity(0, [int(core)])
    numbers = [float(word) for word in words]
    result = getattr(importlib.import_module(module), function)(Path(folder), *numbers)
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    _work(*sys.argv[1:])
