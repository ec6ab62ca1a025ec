"""Whether data sets go together: the contents of each, and how its numbers compare with the pooled
statistics that all are normalised with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.screen import styled
from xlvla_policy.training.dataset import Recorded
from xlvla_policy.training.sources import DataSource
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.normalise import Statistics
from xlvla_policy.vla.tokenizer import Tokenizer

FAR = 4.0
"""Normalised numbers beyond this are outliers: 6 in 100,000 of a normal distribution."""
MANY = 0.01
"""Share of outliers above which there is a warning."""
FEW = 0.01
FEW_OF_EQUAL = 0.1
"""Share of the batches, and of an equal share of them, below which there is a warning."""
MOST_ROWS = 30
"""With more data sets a model card has one row for each robot."""


@dataclass(frozen=True)
class SetRow:
    """One data set.

    Args:
        share: of the observations that are drawn.
        missing: cameras of the policy it lacks.
        latents: where its latents come from.
        notes: what is not read of it, and what is taken for granted.
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
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BlockRow:
    """One data set's numbers of a block of the frames.

    Args:
        shift: largest distance of a number's mean from the pooled one, in pooled scales.
        spread: smallest and largest ratio of a number's deviation to the pooled scale.
        far: share of outliers.
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
    """All data sets of a run, and their numbers by block."""

    sets: tuple[SetRow, ...]
    blocks: tuple[BlockRow, ...]

    @property
    def warnings(self) -> Iterator[str]:
        """What is allowed, but may be a mistake."""
        few = min(FEW, FEW_OF_EQUAL / len(self.sets))
        for row in self.sets:
            for note in row.notes:
                yield f"{row.name} {note}"
            if row.missing:
                yield f"{row.name} lacks camera {', '.join(row.missing)}: it is masked there"
            if row.share < few:
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
        """Prints the data sets and the warnings, with `numbers` also the statistics of each."""
        console.print(_sets(self.sets))
        if numbers:
            console.print(_blocks(self.blocks))
        for line in self.warnings:
            console.print(styled(("note:", "yellow"), f" {line}"))

    def document(self) -> Mapping[str, Any]:
        """For the model card."""
        shown = self
        if len(self.sets) > MOST_ROWS:
            shown = self.by_robot()
        return {
            "sets": [asdict(row) for row in shown.sets],
            "numbers": [asdict(row) for row in shown.blocks],
        }

    def by_robot(self) -> TrainingReport:
        """One row for all data sets of a robot, and one for each block of its numbers."""
        rows: dict[str, list[SetRow]] = {}
        for row in self.sets:
            rows.setdefault(row.robot, []).append(row)
        numbers: dict[tuple[str, str], list[tuple[BlockRow, float]]] = {}
        robot_of = {row.name: row for row in self.sets}
        for block in self.blocks:
            row = robot_of[block.name]
            numbers.setdefault((row.robot, block.block), []).append((block, row.share))
        sets = [_pooled_sets(robot, those) for robot, those in rows.items()]
        blocks = [_pooled_blocks(robot, those) for (robot, _), those in numbers.items()]
        return TrainingReport(tuple(sets), tuple(blocks))


def _pooled_sets(robot: str, rows: Sequence[SetRow]) -> SetRow:
    """One row for the data sets of a robot."""
    return SetRow(
        name=f"{len(rows)} data sets",
        robot=robot,
        episodes=sum(row.episodes for row in rows),
        frames=sum(row.frames for row in rows),
        share=sum(row.share for row in rows),
        cameras=_each_once(row.cameras for row in rows),
        missing=_each_once(row.missing for row in rows),
        sentences=max(row.sentences for row in rows),
        latents=", ".join(_each_once((row.latents,) for row in rows)),
        notes=_each_once(row.notes for row in rows),
    )


def _pooled_blocks(robot: str, rows: Sequence[tuple[BlockRow, float]]) -> BlockRow:
    """One row for a block of a robot's numbers, from those of its data sets and their shares."""
    blocks = [block for block, _ in rows]
    total = sum(share for _, share in rows)
    far = sum(block.far * share for block, share in rows)
    return BlockRow(
        name=robot,
        block=blocks[0].block,
        lowest=min(block.lowest for block in blocks),
        highest=max(block.highest for block in blocks),
        shift=max(block.shift for block in blocks),
        spread=(min(block.spread[0] for block in blocks), max(block.spread[1] for block in blocks)),
        far=far / total,
    )


def _each_once(words: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """All words, in order, none twice."""
    return tuple(dict.fromkeys(chain.from_iterable(words)))


def compare(
    recorded: Sequence[Recorded],
    statistics: Statistics,
    config: VlaConfig,
    codec: Codec,
    words: Tokenizer,
) -> TrainingReport:
    """Compares data sets that are read already.

    Raises:
        XlvlaError: a sentence that no policy of this configuration can read.
    """
    total = sum(each.source.weight * each.frames for each in recorded)
    sets: list[SetRow] = []
    blocks: list[BlockRow] = []
    for each in recorded:
        source = each.source
        cameras = tuple(camera for camera in config.cameras if camera in source.cameras)
        row = SetRow(
            name=source.name,
            robot=each.robot.label,
            episodes=len(source.stored),
            frames=each.frames,
            share=source.weight * each.frames / total,
            cameras=cameras,
            missing=tuple(camera for camera in config.cameras if camera not in cameras),
            sentences=len(_sentences(source, words)),
            latents=_latents(source, config, codec),
            notes=tuple(source.stored[0].data.notes),
        )
        sets.append(row)
        blocks += _block_rows(each, statistics)
    return TrainingReport(tuple(sets), tuple(blocks))


def _sentences(source: DataSource, words: Tokenizer) -> set[str]:
    """A data set's sentences; refuses those that cannot be encoded."""
    sentences: set[str] = set()
    for stored in source.stored:
        sentences.update(stored.sentences)
    for sentence in sorted(sentences):
        try:
            words.encode(sentence)
        except XlvlaError as error:
            raise XlvlaError(f"{source.root}: {error}") from None
    return sentences


def _latents(source: DataSource, config: VlaConfig, codec: Codec) -> str:
    """Where a data set's latents come from."""
    if config.space != "latent":
        return "none: raw joints"
    stored = source.info.codec
    if stored == codec.hash:
        return "this codec"
    return f"encoded anew ({stored or 'none'} stored)"


def _block_rows(each: Recorded, statistics: Statistics) -> Iterator[BlockRow]:
    commands = np.concatenate([rows[1:] for rows in each.commands])
    for block in each.robot.blocks:
        pooled = statistics.blocks[block.name]
        own = each.moments[block.name]
        shift = np.abs(own.mean - pooled.mean) / pooled.scale
        ratio = own.deviation / pooled.scale
        normalised = (commands[:, block.columns] - pooled.mean) / pooled.scale
        outliers = np.abs(normalised) > FAR
        yield BlockRow(
            name=each.source.name,
            block=block.name,
            lowest=float(own.lowest.min()),
            highest=float(own.highest.max()),
            shift=float(shift.max()),
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
        table.add_row(
            row.name,
            row.robot,
            str(row.episodes),
            str(row.frames),
            f"{row.share:.1%}",
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
        narrowest, widest = row.spread
        table.add_row(
            row.name,
            row.block,
            f"{row.lowest:.2f} .. {row.highest:.2f}",
            f"{row.shift:.2f}",
            f"{narrowest:.2f} .. {widest:.2f}",
            f"{row.far:.3%}",
        )
    return table
