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
from xlvla_cli.bench.adversary.rig_variants import RigVariant
from xlvla_cli.bench.adversary.scenarios import Scenario
from xlvla_drivers import motion as motion_package
from xlvla_drivers.motion.distance import Distances
from xlvla_drivers.motion.rig_motion import RigMotion

ALLOWED_M = 0.0005
"""How far a distance may be below what it has to keep."""

BINS_PER_DECADE = 40
"""Of the histogram of processor times."""


@lru_cache(maxsize=32)
def _rig(variant: RigVariant) -> Rig:
    return variant.rig()


def try_out(job: tuple[Scenario, bool]) -> dict[str, Any]:
    """Figures of a scenario, as plain data; the second of the job is whether distances are
    watched.
    """
    scenario, watched = job
    # Built anew each time, because distances are searched from where the last ones were. Their last
    # digits still depend on memory: where a path is on the verge of being refused, the same seed
    # may brake a tick earlier.
    rig = _rig(scenario.variant)
    motion = RigMotion(rig) if watched else Unwatched(rig)
    distances = Distances(rig)
    path = Drive(scenario, rig, motion, distances).run()
    finite = bool(np.isfinite(path.poses).all())
    figures: dict[str, Any] = {
        "kind": scenario.kind,
        "offered": path.offered,
        "finite": finite,
        "counts": dict(path.counts),
        "braked": path.braked,
        "ticks": len(path.ticks_s),
        "slowed": sum(path.slowed),
        "settled": path.settled,
        "stopped": path.stopped,
        "came_back": path.came_back,
        "took": _histogram(path.took_s),
    }
    if finite:
        nearest, breach = checker.DistanceCheck(distances).look(path.poses)
        bounds = [player.bounds for player in motion.players.values()]
        figures["nearest"] = asdict(nearest)
        figures["breach"] = asdict(breach)
        figures["excess"] = checker.limit_excess(path, bounds)
    return figures


def faults(figures: dict[str, Any]) -> list[str]:
    """A line for everything that is wrong with a scenario."""
    if not figures["finite"]:
        return ["a command is not finite"]
    lines: list[str] = []
    for name, value in figures["excess"].items():
        if value > 0:
            lines.append(f"{name} limit exceeded by {value:.3g}")
    breach = figures["breach"]
    below_m = breach["below_m"]
    if below_m > ALLOWED_M:
        lines.append(f"{breach['gap']} is {1e3 * below_m:.2f} mm below what it has to keep")
    if not figures["stopped"]:
        lines.append("told to hold, it does not rest")
    return lines


def _histogram(took_s: Sequence[float]) -> dict[str, int]:
    """How many ticks took about 10 ** (bin / BINS_PER_DECADE) microseconds, by bin."""
    microseconds = np.maximum(1e6 * np.array(took_s), 1.0)
    bins = np.rint(BINS_PER_DECADE * np.log10(microseconds)).astype(int)
    counts = Counter(bins.tolist())
    return {str(number): counts[number] for number in sorted(counts)}


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
