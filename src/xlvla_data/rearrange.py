"""Episodes of some data sets as other data sets: merged, selected, split; videos are linked, never
encoded again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xlvla.errors import XlvlaError
from xlvla.holdout import Holdout
from xlvla.text import plain
from xlvla_data import store
from xlvla_data.lerobot import layout
from xlvla_data.lerobot.writer import Writer
from xlvla_data.store import Stored

TRAIN = "train"
HELD_OUT = "held_out"


@dataclass(frozen=True)
class Move:
    """An episode and the folder of data sets it goes to."""

    stored: Stored
    folder: Path

    @property
    def root(self) -> Path:
        """The data set it goes to."""
        return store.root_of(self.folder, self.stored.task, self.stored.hands)


def merge(episodes: Sequence[Stored], folder: Path) -> list[Move]:
    return [Move(stored, folder) for stored in episodes]


def hold_out(episodes: Sequence[Stored], folder: Path, holdout: Holdout) -> list[Move]:
    """What shows a held-out hand at its task goes to `held_out`, the rest to `train`."""
    moves: list[Move] = []
    for stored in episodes:
        trained = holdout.keeps(stored.hands.values(), stored.task)
        moves.append(Move(stored, folder / (TRAIN if trained else HELD_OUT)))
    return moves


def share(episodes: Sequence[Stored], folder: Path, held_out: float, seed: int) -> list[Move]:
    """About this share of the episodes goes to `held_out`; where an episode goes depends on the
    seed and on itself alone.
    """
    moves: list[Move] = []
    for stored in episodes:
        trained = _lot(stored.key, seed) >= held_out
        moves.append(Move(stored, folder / (TRAIN if trained else HELD_OUT)))
    return moves


def agree(moves: Sequence[Move]) -> None:
    """Raises XlvlaError where episodes of different features would stand in one data set, before
    anything is written.
    """
    first: dict[Path, Stored] = {}
    for move in moves:
        if not move.stored.hands:
            raise XlvlaError(
                f"{move.stored.data.root} does not say whose hands it shows: `xlvla data import` "
                "it first"
            )
        other = first.setdefault(move.root, move.stored)
        if other.data is move.stored.data:
            continue
        differences = layout.differences(other.data.info, move.stored.data.info)
        if differences:
            raise XlvlaError(
                f"{other.data.root} and {move.stored.data.root} differ in "
                f"{', '.join(differences)}: they cannot be merged"
            )


def carry_out(moves: Sequence[Move]) -> Iterator[tuple[Move, bool]]:
    """Every episode with whether it was written now: False where it was there before."""
    agree(moves)
    news = _news(moves)
    writers: dict[Path, Writer] = {}
    for move, new in zip(moves, news, strict=True):
        root = move.root
        if root not in writers:
            writers[root] = Writer(root, move.stored.data.info)
        if new:
            _put(writers[root], move.stored)
        yield move, new


def _news(moves: Sequence[Move]) -> list[bool]:
    """Which episodes are not there yet; raises XlvlaError where two of one key are not the same,
    before anything is written.
    """
    known: dict[Path, dict[str, Stored]] = {}
    news = list[bool]()
    for move in moves:
        root = move.root
        stored = move.stored
        if root not in known:
            known[root] = {there.key: there for there in store.there(root)}
        other = known[root].setdefault(stored.key, stored)
        news.append(other is stored)
        if other is not stored and other.content != stored.content:
            raise XlvlaError(
                f"{other.data.root}/{other.row.index} and {stored.data.root}/{stored.row.index} "
                f"are both called '{plain(stored.key)}' "
                "but are not the same: nothing is put there; merge one of them into another folder"
            )
    return news


def _put(writer: Writer, stored: Stored) -> None:
    data = stored.data
    row = stored.row
    clips = {camera: data.clip(row, camera) for camera in data.info.cameras}
    writer.adopt(data.columns(row), clips, row.sentence, data.table_row(row))


def _lot(key: str, seed: int) -> float:
    """A number in [0, 1), drawn from an episode's key and a seed alone."""
    digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
