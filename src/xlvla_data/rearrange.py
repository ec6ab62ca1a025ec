"""Episodes of some data sets as other data sets: merged, chosen, split; videos are linked, never encoded again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from xlvla.errors import XlvlaError
from xlvla.holdout import Holdout
from xlvla_data import store
from xlvla_data.lerobot import layout
from xlvla_data.lerobot.writer import Writer
from xlvla_data.store import Stored

TRAIN, HELD_OUT = "train", "held_out"


@dataclass(frozen=True)
class Move:
    """An episode and the folder of data sets it goes to."""

    stored: Stored
    folder: Path

    @property
    def root(self) -> Path:
        """The data set it goes to."""
        return self.folder / store.name_of(self.stored.task, self.stored.hands)


def merge(episodes: Sequence[Stored], folder: Path) -> list[Move]:
    return [Move(stored, folder) for stored in episodes]


def hold_out(episodes: Sequence[Stored], folder: Path, holdout: Holdout) -> list[Move]:
    """What shows a held-out hand at its task goes to `held_out`, the rest to `train`."""
    return [Move(stored, folder / (TRAIN if holdout.keeps(stored.hands.values(), stored.task) else HELD_OUT)) for stored in episodes]


def share(episodes: Sequence[Stored], folder: Path, held_out: float, seed: int) -> list[Move]:
    """About this share of the episodes goes to `held_out`; where an episode goes depends on the seed and on itself alone."""
    return [Move(stored, folder / (HELD_OUT if _lot(stored.key, seed) < held_out else TRAIN)) for stored in episodes]


def agree(moves: Sequence[Move]) -> None:
    """Raises XlvlaError where episodes of different features would stand in one data set, before anything is written."""
    first: dict[Path, Stored] = {}
    for move in moves:
        if not move.stored.hands:
            raise XlvlaError(f"{move.stored.data.root} does not say whose hands it shows: `xlvla data import` it first")
        other = first.setdefault(move.root, move.stored)
        if other.data is not move.stored.data and (found := layout.differences(other.data.info, move.stored.data.info)):
            raise XlvlaError(f"{other.data.root} and {move.stored.data.root} differ in {', '.join(found)}: they cannot be merged")


def carry_out(moves: Sequence[Move]) -> Iterator[tuple[Move, bool]]:
    """Every episode with whether it was put there now: False where it was there before."""
    agree(moves)
    writers: dict[Path, tuple[Writer, set[str]]] = {}
    for move in moves:
        root = move.root
        if root not in writers:
            there = {stored.key for stored in store.find(root)} if store.roots(root) else set()
            writers[root] = Writer(root, move.stored.data.info), there
        writer, there = writers[root]
        if new := move.stored.key not in there:
            _put(writer, move.stored)
            there.add(move.stored.key)
        yield move, new


def _put(writer: Writer, stored: Stored) -> None:
    clips = {camera: stored.data.clip(stored.row, camera) for camera in stored.data.info.cameras}
    writer.adopt(stored.data.columns(stored.row), clips, stored.row.sentence, stored.data.told(stored.row))


def _lot(key: str, seed: int) -> float:
    """A number in [0, 1)."""
    return int.from_bytes(hashlib.sha256(f"{seed} {key}".encode()).digest()[:8], "big") / 2**64
