"""Whether data sets go together: what each has, and how its numbers compare with what they are all
normalised with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.screen import styled
from xlvla_policy.training.dataset import Recorded
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.normalise import Statistics
from xlvla_policy.vla.tokenizer import Tokenizer

FAR = 4.0
"""Normalised numbers beyond this are counted: 6 in 100,000 of a normal distribution."""
MANY = 0.01
"""A share of them that is worth a warning."""


@dataclass(frozen=True)
class SetRow:
    """One data set.

    Args:
        share: of the observations that are drawn.
        missing: cameras of the policy it lacks.
        latents: where its latents come from.
    """

    name: str
    robot: str
    episodes: int
    frames: int
    share: float
    cameras: tuple[str, ...]
    missing: tuple[str, ...]
    sentences: int
    latents: str


@dataclass(frozen=True)
class BlockRow:
    """One data set's numbers of a block of the frames.

    Args:
        shift: largest distance of a number's mean from the pooled one, in pooled scales.
        spread: smallest and largest ratio of a number's deviation to the pooled scale.
        far: share of the normalised numbers beyond `FAR`.
    """

    name: str
    block: str
    lowest: float
    highest: float
    shift: float
    spread: tuple[float, float]
    far: float


@dataclass(frozen=True)
class TrainingReport:
    sets: tuple[SetRow, ...]
    blocks: tuple[BlockRow, ...]

    @property
    def warnings(self) -> Iterator[str]:
        """What is allowed, but worth a thought."""
        for row in self.sets:
            if row.missing:
                yield f"{row.name} lacks camera {', '.join(row.missing)}: it is masked there"
            if row.share < MANY:
                yield (
                    f"{row.name} makes {row.share:.2%} of the batches: a weight would help, as in "
                    f"{row.name}=5"
                )
        for block in self.blocks:
            if block.far > MANY:
                yield (
                    f"{block.name}: {block.far:.1%} of {block.block} lie beyond {FAR:g} scales: is "
                    "it in other units, or hardly drawn?"
                )

    def show(self, console: Console, *, numbers: bool) -> None:
        """With `numbers` also what every data set's are like."""
        console.print(_sets(self.sets))
        if numbers:
            console.print(_blocks(self.blocks))
        for line in self.warnings:
            console.print(styled(("note:", "yellow"), f" {line}"))

    def document(self) -> Mapping[str, Any]:
        return {
            "sets": [asdict(row) for row in self.sets],
            "numbers": [asdict(row) for row in self.blocks],
        }


def compare(
    recorded: Sequence[Recorded],
    statistics: Statistics,
    config: VlaConfig,
    codec: Codec,
    words: Tokenizer,
) -> TrainingReport:
    """Reads nothing but what is at hand; raises XlvlaError for a sentence that no policy of this
    configuration can read.
    """
    total = sum(each.source.weight * each.frames for each in recorded)
    sets = tuple(_set_row(each, total, config, codec, words) for each in recorded)
    return TrainingReport(
        sets, tuple(row for each in recorded for row in _block_rows(each, statistics))
    )


def _set_row(
    each: Recorded, total: float, config: VlaConfig, codec: Codec, words: Tokenizer
) -> SetRow:
    source = each.source
    sentences = {stored.row.sentence for stored in source.stored}
    for sentence in sorted(sentences):
        try:
            words.encode(sentence)
        except XlvlaError as error:
            raise XlvlaError(f"{source.root}: {error}") from None
    cameras = tuple(camera for camera in config.cameras if camera in source.cameras)
    latents = (
        "this codec"
        if source.info.codec == codec.hash
        else f"encoded anew ({source.info.codec or 'none'} stored)"
    )
    return SetRow(
        name=source.name,
        robot=each.robot.label,
        episodes=len(source.stored),
        frames=each.frames,
        share=source.weight * each.frames / total,
        cameras=cameras,
        missing=tuple(camera for camera in config.cameras if camera not in cameras),
        sentences=len(sentences),
        latents=latents if config.space == "latent" else "none: raw joints",
    )


def _block_rows(each: Recorded, statistics: Statistics) -> Iterator[BlockRow]:
    together = np.concatenate([rows[1:] for rows in each.commands])
    for block in each.robot.blocks:
        known = statistics.blocks[block.name]
        own = each.moments[block.name]
        ratio = own.deviation / known.scale
        outliers = np.abs((together[:, block.columns] - known.mean) / known.scale) > FAR
        yield BlockRow(
            name=each.source.name,
            block=block.name,
            lowest=float(own.lowest.min()),
            highest=float(own.highest.max()),
            shift=float((np.abs(own.mean - known.mean) / known.scale).max()),
            spread=(float(ratio.min()), float(ratio.max())),
            far=float(outliers.mean()),
        )


def _sets(rows: Sequence[SetRow]) -> Table:
    table = Table(
        "data set",
        "arm+hand",
        "episodes",
        "frames",
        "of batches",
        "cameras",
        "missing",
        "sentences",
        "latents",
    )
    for row in rows:
        numbers = str(row.episodes), str(row.frames), f"{row.share:.1%}"
        table.add_row(
            row.name,
            row.robot,
            *numbers,
            ", ".join(row.cameras),
            ", ".join(row.missing),
            str(row.sentences),
            row.latents,
        )
    return table


def _blocks(rows: Sequence[BlockRow]) -> Table:
    table = Table("data set", "numbers", "range", "mean off", "deviation", f"beyond {FAR:g}")
    table.caption = (
        "mean, deviation and share beyond in units of the scale they are normalised with"
    )
    for row in rows:
        spread = f"{row.spread[0]:.2f} .. {row.spread[1]:.2f}"
        table.add_row(
            row.name,
            row.block,
            f"{row.lowest:.2f} .. {row.highest:.2f}",
            f"{row.shift:.2f}",
            spread,
            f"{row.far:.3%}",
        )
    return table
