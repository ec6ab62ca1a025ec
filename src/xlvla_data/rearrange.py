"""Episodes of some data sets as other data sets: merged, selected, split; videos are linked, never
encoded again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.holdout import Holdout
from xlvla.text import plain
from xlvla_data import store
from xlvla_data.convert import hand_latents
from xlvla_data.lerobot import layout
from xlvla_data.lerobot.layout import Feature, Info
from xlvla_data.lerobot.reader import Dataset
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


@dataclass(frozen=True)
class Common:
    """What the episodes that go to one data set have in common.

    Args:
        info: of the data set.
        left_out: what some of the data sets have and others lack, and is left out, a line each.
        codec: encodes the latents anew, where they are not all of one codec; else None.
    """

    info: Info
    left_out: Sequence[str]
    codec: Codec | None

    @property
    def lines(self) -> list[str]:
        """What is to be said of it."""
        lines = list(self.left_out)
        if self.codec is not None:
            lines.append("latents are encoded anew: they are not all known to be of one codec")
        return lines


def agree(moves: Sequence[Move]) -> dict[Path, Common]:
    """What goes into every data set; raises XlvlaError where episodes cannot stand in one, or rows
    or pictures are missing, before anything is written.
    """
    sources: dict[Path, dict[Path, Dataset]] = {}
    for move in moves:
        data = move.stored.data
        if not move.stored.hands:
            raise XlvlaError(
                f"{data.root} does not say whose hands it shows: `xlvla data import` it first"
            )
        sources.setdefault(move.root, {})[data.root] = data
    common = {root: _common(root, list(some.values())) for root, some in sources.items()}
    for move in moves:
        move.stored.data.require_pace(move.stored.row)
    return common


def _common(root: Path, sources: Sequence[Dataset]) -> Common:
    """What these data sets, and the one that is there already, have in common."""
    there = Dataset(root) if (root / layout.INFO).is_file() else None
    every = [there, *sources] if there else list(sources)
    first = every[0].info
    for data in every[1:]:
        _refuse_others(every[0], data)
    features: dict[str, Feature] = {}
    left_out: list[str] = []
    for key in _keys(every):
        having = [data for data in every if _readable(data.info, key)]
        alike = [
            data
            for data in having
            if layout.same_kind(having[0].info.features[key], data.info.features[key])
        ]
        if len(alike) == len(every):
            features[key] = _as_written(first.features[key], first.fps)
        elif key == store.EXECUTED and len(alike) == len(having) and there in (None, *having):
            # Where nothing was disturbed, the action was executed.
            features[key] = having[0].info.features[key]
        elif having:
            having_names = ", ".join(data.root.name for data in having)
            why = "differs between" if len(having) == len(every) else "is only in"
            left_out.append(f"'{plain(key, 80)}' is left out: it {why} {plain(having_names, 200)}")
    _refuse_incomplete(every, features, there)
    codecs = {str(data.info.own.get("codec", "")) for data in every}
    codec = None
    if len(codecs) > 1 or codecs == {""}:
        codec = Codec.load()
        if there and there.info.own.get("codec") not in (None, codec.hash):
            raise XlvlaError(f"{root} has latents of another codec: merge into another folder")
        for side, hand in first.own["hands"].items():
            numbers = len(codec.encode(hand, side, codec.limits(hand, side)[0]))
            features[f"{store.LATENT}{side}"] = layout.vector([f"z{n}" for n in range(numbers)])
    own = {key: first.own.get(key) for key in ("task", "hands", "joints")}
    own["codec"] = codec.hash if codec else codecs.pop()
    info = there.info if there else Info(first.fps, features, first.robot_type, own)
    return Common(info, left_out, codec)


def _keys(every: Sequence[Dataset]) -> list[str]:
    keys: dict[str, None] = {}
    for data in every:
        keys |= dict.fromkeys(data.info.features)
    return list(keys)


def _readable(info: Info, key: str) -> bool:
    return key in info.features and not info.features[key].left_out


def _as_written(feature: Feature, fps: float) -> Feature:
    """A feature as our data sets have it: pictures are in videos."""
    if feature.dtype == "image":
        height, width, _ = feature.shape
        return layout.video(height, width, fps)
    return feature


def _refuse_others(one: Dataset, other: Dataset) -> None:
    """Raises XlvlaError where two data sets are of other rates or joints."""
    different: list[str] = []
    if one.info.fps != other.info.fps:
        different.append(f"rate ({one.info.fps:g} and {other.info.fps:g} Hz)")
    if one.info.own.get("joints") != other.info.own.get("joints"):
        different.append("joints")
    if different:
        raise XlvlaError(
            f"{one.root} and {other.root} differ in {', '.join(different)}: they cannot be merged; "
            "`xlvla data import` makes them alike"
        )


def _refuse_incomplete(
    every: Sequence[Dataset], features: Mapping[str, Feature], there: Dataset | None
) -> None:
    """Raises XlvlaError where nothing to act on, or nothing to see, is in all data sets."""
    names = " and ".join(str(data.root) for data in every)
    for key in store.JOINT_COLUMNS:
        if key not in features:
            raise XlvlaError(f"{names} differ in '{key}': they cannot be merged")
    seeing = [data for data in every if data.info.cameras]
    if seeing and not any(key.startswith(layout.IMAGES) for key in features):
        raise XlvlaError(f"{names} have no camera in common: they cannot be merged")
    if there is None:
        return
    lacking = [key for key in there.info.features if key not in features]
    if lacking:
        raise XlvlaError(
            f"{there.root} has '{plain(lacking[0], 80)}', which not all of the others have: merge "
            "into another folder"
        )


def carry_out(moves: Sequence[Move], common: Mapping[Path, Common]) -> Iterator[tuple[Move, bool]]:
    """Every episode with whether it was written now: False where it was there before."""
    news = _news(moves)
    writers: dict[Path, Writer] = {}
    for move, new in zip(moves, news, strict=True):
        root = move.root
        if root not in writers:
            writers[root] = Writer(root, common[root].info)
        if new:
            _put(writers[root], move.stored, common[root])
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
        if other is not stored and not stored.same_as(other):
            raise XlvlaError(
                f"{other.data.root}/{other.row.index} and {stored.data.root}/{stored.row.index} "
                f"are both called '{plain(stored.key)}' "
                "but are not the same: nothing is put there; merge one of them into another folder"
            )
    return news


def _put(writer: Writer, stored: Stored, common: Common) -> None:
    data = stored.data
    row = stored.row
    clips = {camera: data.clip(row, camera) for camera in writer.info.cameras}
    keys = [key for key in writer.info.vectors if key in data.info.vectors]
    if common.codec is not None:
        keys = [key for key in keys if not key.startswith(store.LATENT)]
    columns = data.columns(row, *keys)
    if store.EXECUTED in writer.info.vectors and store.EXECUTED not in columns:
        columns[store.EXECUTED] = columns[layout.ACTION]
    table_row = dict(data.table_row(row))
    if common.codec is not None:
        hands = stored.read().action
        for side, hand in stored.hands.items():
            joints = data.info.own["joints"][side]["hand"]
            if not joints:
                continue
            key = f"{store.LATENT}{side}"
            columns[key] = hand_latents(common.codec, side, hand, joints, hands[side]["hand"])
            # Its statistics are those of other latents
            table_row.pop(f"stats/{key}/mean", None)
    writer.adopt(columns, clips, stored.sentences, table_row)


def _lot(key: str, seed: int) -> float:
    """A number in [0, 1), drawn from an episode's key and a seed alone."""
    digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
