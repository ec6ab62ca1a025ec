"""Results of many scenarios, summed by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xlvla_cli.bench.adversary.trial import ALLOWED_M, faults, percentile_ms

REFUSED = "refused: "
"""What a player's counts of refused chunks begin with; the reason follows."""


@dataclass
class Summary:
    """Scenarios of one kind, or of all.

    Attributes:
        refused: chunks by reason.
        nearest: the gap with the least room above its stop; None before the first scenario.
        breach: the gap that came furthest below what it had to keep.
        faults: everything wrong, by scenario.
        unsettled: scenarios whose commands went on changing after the last chunk until the rig was
            told to hold.
        stuck: those that did not follow their own path back, of `led_back`.
    """

    kind: str
    scenarios: int = 0
    offered: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    braked: int = 0
    ticks: int = 0
    slowed: int = 0
    took: Counter[str] = field(default_factory=Counter[str])
    nearest: dict[str, Any] | None = None
    breach: dict[str, Any] | None = None
    excess: Counter[str] = field(default_factory=Counter[str])
    faults: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    unsettled: list[str] = field(default_factory=list[str])
    stuck: list[str] = field(default_factory=list[str])
    led_back: int = 0

    def add(self, key: str, figures: Mapping[str, Any]) -> None:
        self.scenarios += 1
        counts = figures["counts"]
        self.offered += figures["offered"]
        self.accepted += counts.get("accepted", 0)
        for name, count in counts.items():
            if name.startswith(REFUSED):
                self.refused[name.removeprefix(REFUSED)] += count
        self.braked += figures["braked"]
        self.ticks += figures["ticks"]
        self.slowed += figures["slowed"]
        self.took.update(figures["took"])
        self.led_back += figures["came_back"] is not None
        if not figures["settled"]:
            self.unsettled.append(key)
        if figures["came_back"] is False:
            self.stuck.append(key)
        if wrong := faults(dict(figures)):
            self.faults[key] = wrong
        if figures["finite"]:
            self._worst(figures)

    def _worst(self, figures: Mapping[str, Any]) -> None:
        nearest = figures["nearest"]
        if self.nearest is None or nearest["room_m"] < self.nearest["room_m"]:
            self.nearest = nearest
        breach = figures["breach"]
        if self.breach is None or breach["below_m"] > self.breach["below_m"]:
            self.breach = breach
        for name, value in figures["excess"].items():
            self.excess[name] = max(self.excess[name], value)

    def plain(self) -> dict[str, Any]:
        """The same for a JSON file, with p50 and p99 of the processor time of a tick for its
        histogram.
        """
        document = dict(vars(self))
        del document["took"]
        document["tick_ms"] = {
            "p50": percentile_ms(self.took, 0.5),
            "p99": percentile_ms(self.took, 0.99),
        }
        document["allowed_m"] = ALLOWED_M
        return document


def summed(results: Mapping[str, Mapping[str, Any]], kinds: Sequence[str]) -> list[Summary]:
    """One summary per kind that was tried, then that of all."""
    by_kind = {kind: Summary(kind) for kind in kinds}
    total = Summary("all")
    for key, figures in results.items():
        by_kind[figures["kind"]].add(key, figures)
        total.add(key, figures)
    summaries = [summary for summary in by_kind.values() if summary.scenarios]
    return [*summaries, total]
