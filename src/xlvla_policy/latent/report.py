"""All that is measured of a codec, as a record and as heat maps of the pairs of hands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xlvla.codec import Codec
from xlvla.types import Side
from xlvla_policy.latent.metric import DRAWN, RELEASED
from xlvla_policy.latent.metrics import (
    Metrics,
    Pair,
    bench,
    collisions,
    evaluate,
    evaluate_one,
    evaluate_pairs,
    jerk_ratio,
    limits,
    means,
    mirror_mm,
)
from xlvla_policy.latent.smoothness import RATES_HZ


@dataclass(frozen=True)
class CodecReport:
    """What was measured of one side of a codec.

    Args:
        founders: the hands that shaped the latent.
        hands: by hand, and `all`, the mean of the founders among themselves; the hand alone where
            only one was measured.
        limits: by pair, what optimising each pose on its own reaches of `metric.LIMITED`; empty
            where it was not asked for.
        sources: by hand, share [%] of the source poses themselves that reach into themselves.
        own_jerk: by rate [Hz], the worst hand's ratio of jerk through its own encoder and decoder.
    """

    name: str
    codec: str
    side: Side
    poses: int
    seed: int
    founders: tuple[str, ...]
    hands: dict[str, Metrics]
    pairs: dict[Pair, dict[str, float]]
    limits: dict[Pair, dict[str, float]]
    sources: dict[str, dict[str, float]]
    own_jerk: dict[int, float]
    mirror_mm: dict[str, float]

    def dict(self) -> dict[str, Any]:
        """For JSON; a pair is `source->target`."""
        hands = {hand: row.dict() for hand, row in self.hands.items()}
        return {
            **vars(self),
            "hands": hands,
            "pairs": _named(self.pairs),
            "limits": _named(self.limits),
            "released": RELEASED,
        }

    @property
    def summary(self) -> str:
        """The row that stands for the codec: `all`, or that of the only hand measured."""
        return "all" if "all" in self.hands else next(iter(self.hands))

    def mean_limits(self) -> dict[str, float]:
        """The limits' means over the pairs that the summary is the mean of."""
        counted: list[dict[str, float]] = []
        for (source, target), limit in self.limits.items():
            if self.summary == "all":
                counts = source in self.founders and target in self.founders
            else:
                counts = source == self.summary
            if counts:
                counted.append(limit)
        return means(counted) if counted else {}


def _named(pairs: Mapping[Pair, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {f"{source}->{target}": values for (source, target), values in pairs.items()}


def measure(
    codec: Codec,
    side: Side = "right",
    poses: int = 512,
    seed: int = 1,
    *,
    limited: bool = False,
    hand: str | None = None,
) -> CodecReport:
    """Everything about one side of a codec, on `poses` random poses and as many pinches of each
    hand; `limited` also measures the limits, which takes longer. With `hand` only that one and its
    pairs.
    """
    measured = bench(codec, side, poses, seed)
    pairs = evaluate_pairs(measured, hand)
    if hand is None:
        rows = evaluate(measured, pairs)
    else:
        rows = {hand: evaluate_one(measured, hand, pairs)}
    own_jerk: dict[int, float] = {}
    for rate_hz in RATES_HZ:
        of_hands = codec.hands if hand is None else (hand,)
        ratios = [jerk_ratio(measured, each, each, rate_hz) for each in of_hands]
        own_jerk[rate_hz] = max(ratios)
    recipe = codec.card.get("recipe", {})
    return CodecReport(
        name=recipe.get("name", "codec"),
        codec=codec.hash,
        side=side,
        poses=poses,
        seed=seed,
        founders=codec.founders.hands,
        hands=rows,
        pairs=pairs,
        limits=limits(measured, hand=hand) if limited else {},
        sources=collisions(measured),
        own_jerk=own_jerk,
        mirror_mm=mirror_mm(codec),
    )


def heat_maps(reports: Sequence[CodecReport], out: Path) -> None:
    """Writes a PNG: a row per report, a column per metric; sources down, targets across, one scale
    in a column.
    """
    from matplotlib.figure import Figure

    hands = max(len(_hands(report)) for report in reports)
    # Inches: so much for each hand, and the rest for labels.
    width = 0.62 * hands * len(DRAWN) + 1.4
    height = (0.55 * hands + 0.85) * len(reports) + 0.5
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white")
    axes = figure.subplots(len(reports), len(DRAWN), squeeze=False)
    for row, report in zip(axes, reports, strict=True):
        for axis, metric in zip(row, DRAWN, strict=True):
            _heat(axis, report, metric.key, _highest(reports, metric.key))
        row[0].set_yticks(range(len(_hands(report))), _hands(report), fontsize=9)
        row[0].set_ylabel(f"{report.name}, {report.side}: source", fontsize=11)
    for axis, metric in zip(axes[0], DRAWN, strict=True):
        axis.set_title(metric.caption, fontsize=11)
    figure.supxlabel("target", fontsize=11)
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def _highest(reports: Sequence[CodecReport], metric: str) -> float:
    """Of all pairs of hands of all codecs."""
    values: list[float] = []
    for report in reports:
        for pair in report.pairs.values():
            values.append(pair[metric])
    return max(values)


def _hands(report: CodecReport) -> list[str]:
    return [hand for hand in report.hands if hand != "all"]


def _heat(axis: Any, report: CodecReport, metric: str, top: float) -> None:
    hands = _hands(report)
    values = np.full((len(hands), len(hands)), np.nan)
    for row, source in enumerate(hands):
        for column, target in enumerate(hands):
            pair = report.pairs.get((source, target))
            if pair:
                values[row, column] = pair[metric]
    axis.imshow(values, cmap="YlOrRd", vmin=0, vmax=top)
    axis.set_xticks(
        range(len(hands)), hands, fontsize=9, rotation=40, ha="right", rotation_mode="anchor"
    )
    axis.set_yticks([])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if value > 0.6 * top else "black"
            text = f"{value:.0f}" if value >= 10 else f"{value:.1f}"
            axis.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)
