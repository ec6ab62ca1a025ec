"""One scenario from beginning to end, and what is known of it afterwards."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path as File
from typing import Any

import numpy as np

from xlvla.rig import Rig
from xlvla_cli.bench.adversary import checker
from xlvla_cli.bench.adversary.drive import Drive, Unwatched
from xlvla_cli.bench.adversary.scenarios import Scenario
from xlvla_cli.bench.adversary.workplaces import Workplace
from xlvla_drivers import motion as motion_package
from xlvla_drivers.motion.distance import Distances
from xlvla_drivers.motion.rig_motion import RigMotion

ALLOWED_M = 0.0005
"""By at most so much may a distance be below what it has to keep."""

BINS_PER_DECADE = 40
"""Of the histogram of processor times."""


@lru_cache(maxsize=32)
def _rig(place: Workplace) -> Rig:
    return place.rig()


def try_out(job: tuple[Scenario, bool]) -> dict[str, Any]:
    """Figures of a scenario, as plain data; the second of the job is whether distances are
    watched.
    """
    scenario, watched = job
    # Built anew each time, because distances are found from where the last ones were. Their last
    # digits still depend on memory: where
    # a way is just refused or just not, the same seed may brake a tick earlier.
    rig = _rig(scenario.place)
    motion = RigMotion(rig) if watched else Unwatched(rig)
    distances = Distances(rig)
    path = Drive(scenario, rig, motion, distances).run()
    finite = bool(np.isfinite(path.poses).all())
    figures: dict[str, Any] = {"kind": scenario.kind, "offered": path.offered, "finite": finite}
    figures |= {
        "counts": dict(path.counts),
        "braked": path.braked,
        "ticks": len(path.ticks_s),
        "slowed": sum(path.slowed),
    }
    figures |= {
        "settled": path.settled,
        "stopped": path.stopped,
        "came_back": path.came_back,
        "took": _histogram(path.took_s),
    }
    if finite:
        nearest, breach = checker.DistanceCheck(distances).look(path.poses)
        figures |= {"nearest": asdict(nearest), "breach": asdict(breach)}
        figures["excess"] = checker.limit_excess(
            path, [player.bounds for player in motion.players.values()]
        )
    return figures


def faults(figures: dict[str, Any]) -> list[str]:
    """What is wrong with a scenario, in words."""
    if not figures["finite"]:
        return ["a command is not finite"]
    found = [
        f"{name} limit exceeded by {value:.3g}"
        for name, value in figures["excess"].items()
        if value > 0
    ]
    breach = figures["breach"]
    if breach["below_m"] > ALLOWED_M:
        found.append(
            f"{breach['gap']} is {1e3 * breach['below_m']:.2f} mm below what it has to keep"
        )
    if not figures["stopped"]:
        found.append("told to hold, it does not rest")
    return found


def _histogram(took_s: Sequence[float]) -> dict[str, int]:
    """How many ticks took about 10 ** (bin / BINS_PER_DECADE) microseconds, by bin."""
    bins = np.rint(BINS_PER_DECADE * np.log10(np.maximum(1e6 * np.array(took_s), 1.0))).astype(int)
    return {str(number): count for number, count in sorted(Counter(bins.tolist()).items())}


def percentile_ms(histogram: Counter[str], share: float) -> float:
    """The processor time [ms] that this share of ticks does not exceed."""
    left = share * histogram.total()
    for number in sorted(histogram, key=int):
        left -= histogram[number]
        if left <= 0:
            return 10 ** (int(number) / BINS_PER_DECADE) / 1e3
    return 0.0


def motion_digest() -> str:
    """Of the code that is tried: figures of other code are of no use."""
    assert motion_package.__file__
    digest = hashlib.sha256()
    for folder in (File(motion_package.__file__).parent, File(__file__).parent):
        for file in sorted(folder.glob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]
