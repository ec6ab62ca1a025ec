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
    evaluate_pairs,
    jerk_ratio,
    mirror_mm,
)
from xlvla_policy.latent.smoothness import RATES_HZ


@dataclass(frozen=True)
class CodecReport:
    """What was measured of one side of a codec.

    Args:
        hands: by hand, and `all`.
        sources: by hand, share [%] of the source poses themselves that reach into themselves.
        own_jerk: by rate [Hz], the worst hand's ratio of jerk through its own encoder and decoder.
    """

    name: str
    codec: str
    side: Side
    poses: int
    seed: int
    hands: dict[str, Metrics]
    pairs: dict[Pair, dict[str, float]]
    sources: dict[str, dict[str, float]]
    own_jerk: dict[int, float]
    mirror_mm: dict[str, float]

    def dict(self) -> dict[str, Any]:
        """For JSON; a pair is `source->target`."""
        hands = {hand: row.dict() for hand, row in self.hands.items()}
        pairs = {f"{source}->{target}": values for (source, target), values in self.pairs.items()}
        return {**vars(self), "hands": hands, "pairs": pairs, "released": RELEASED}


def measure(codec: Codec, side: Side = "right", poses: int = 512, seed: int = 1) -> CodecReport:
    on = bench(codec, side, poses, seed)
    pairs = evaluate_pairs(on)
    hands = evaluate(on, pairs)
    jerk = {
        rate: max(jerk_ratio(on, hand, hand, rate) for hand in codec.hands) for rate in RATES_HZ
    }
    name = codec.card.get("recipe", {}).get("name", "codec")
    return CodecReport(
        name, codec.hash, side, poses, seed, hands, pairs, collisions(on), jerk, mirror_mm(codec)
    )


def heat_maps(reports: Sequence[CodecReport], out: Path) -> None:
    """Writes a PNG: a row per codec, a column per metric; sources down, targets across, one scale
    in a column.
    """
    from matplotlib.figure import Figure

    size = max(len(_hands(report)) for report in reports)
    figure = Figure(
        figsize=(0.62 * size * len(DRAWN) + 1.4, (0.55 * size + 0.85) * len(reports) + 0.5),
        dpi=150,
        facecolor="white",
    )
    axes = figure.subplots(len(reports), len(DRAWN), squeeze=False)
    for row, report in enumerate(reports):
        for column, metric in enumerate(DRAWN):
            top = max(values[metric.key] for each in reports for values in each.pairs.values())
            _heat(axes[row][column], report, metric.key, top)
            axes[row][column].set_title("" if row else metric.caption, fontsize=11)
        axes[row][0].set_yticks(range(len(_hands(report))), _hands(report), fontsize=9)
        axes[row][0].set_ylabel(f"{report.name}: source", fontsize=11)
    figure.supxlabel("target", fontsize=11)
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def _hands(report: CodecReport) -> list[str]:
    return [hand for hand in report.hands if hand != "all"]


def _heat(axis: Any, report: CodecReport, metric: str, top: float) -> None:
    hands = _hands(report)
    values = np.array(
        [[_value(report.pairs, (source, target), metric) for target in hands] for source in hands]
    )
    axis.imshow(values, cmap="YlOrRd", vmin=0, vmax=top)
    axis.set_xticks(
        range(len(hands)), hands, fontsize=9, rotation=40, ha="right", rotation_mode="anchor"
    )
    axis.set_yticks([])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            shade = "white" if value > 0.6 * top else "black"
            axis.text(
                column,
                row,
                f"{value:.0f}" if value >= 10 else f"{value:.1f}",
                ha="center",
                va="center",
                fontsize=9,
                color=shade,
            )


def _value(pairs: Mapping[Pair, Mapping[str, float]], pair: Pair, metric: str) -> float:
    return pairs[pair][metric] if pair in pairs else float("nan")
