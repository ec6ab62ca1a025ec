"""Episodes as LeRobot data sets: a folder with one per task and pair of hands, since a data set's
columns are always the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from xlvla import files
from xlvla.errors import XlvlaError
from xlvla.types import PARTS, SIDES, Part, Side
from xlvla_data.episode import Column, Episode, EpisodeInfo
from xlvla_data.lerobot import layout
from xlvla_data.lerobot.layout import Feature, Info
from xlvla_data.lerobot.reader import Dataset, EpisodeRow
from xlvla_data.lerobot.writer import Writer

Joints = Mapping[Side, Mapping[Part, Sequence[str]]]
"""Names by side and part, in the order of an episode's columns; our own data sets say them."""

LATENT = "latent."
"""Columns of a hand's latent, by side."""

USUAL = (layout.ACTION, layout.STATE)
"""Columns with a name for every joint."""


@dataclass(frozen=True)
class Stored:
    """An episode on disk; `name` is its data set's with its number."""

    data: Dataset
    row: EpisodeRow

    @property
    def name(self) -> str:
        return f"{self.data.root.name}/{self.row.index}"

    @property
    def mark(self) -> list[object]:
        """What changes when the episode's pictures do."""
        clips = [self.data.clip(self.row, camera) for camera in self.data.info.cameras]
        files = [(clip.path.resolve(), clip.path.stat()) for clip in clips]
        return [[str(path), stat.st_size, stat.st_mtime_ns, self.row.index] for path, stat in files]

    @property
    def seed(self) -> int:
        seed = self.row.row.get("seed")
        return -1 if seed is None else int(seed)

    @property
    def key(self) -> str:
        """What no other episode has: `session/recording`, of a simulated one
        `task-left-right/seed`, of any other its content.
        """
        return self.key_with(self.hands) or self.content

    def key_with(self, hands: Mapping[Side, str]) -> str:
        """The key of the same episode for other hands; '' where only its content tells it from
        others.
        """
        if recording := self.row.row.get("recording"):
            return f"{self.row.row.get('session') or ''}/{recording}"
        return f"{name_of(self.task, hands)}/{self.seed}" if self.seed >= 0 else ""

    @cached_property
    def content(self) -> str:
        """Hash of its numbers and its sentence: two episodes of one content are the same one."""
        return digest(self.data.columns(self.row), self.row.sentence)

    @property
    def source(self) -> str:
        """Hash of what it was made of; '' where it is unknown."""
        return self.row.row.get("source") or ""

    @property
    def task(self) -> str:
        return str(self.data.info.own.get("task", ""))

    @property
    def hands(self) -> Mapping[Side, str]:
        return self.data.info.own.get("hands", {})

    @property
    def success(self) -> bool | None:
        """None where it was not marked."""
        return self.row.row.get("success")

    @property
    def verdict(self) -> str:
        return self.row.row.get("verdict") or ""

    @property
    def duration_s(self) -> float:
        return self.row.length / self.data.info.fps

    def read(self) -> Episode:
        """The episode; its pictures stay on disk until they are gone through."""
        info = self.data.info
        joints = _joints(self.data)
        columns = self.data.columns(self.row)
        rest = [key for key in columns if key not in USUAL and not key.startswith(LATENT)]
        others = {
            key: Column(columns[key].reshape(self.row.length, -1), info.features[key].names or ())
            for key in rest
        }
        action, measured = (
            _by_part(joints, info.features[key], columns[key])
            for key in (layout.ACTION, layout.STATE)
        )
        latent: dict[Side, np.ndarray] = {
            side: columns[f"{LATENT}{side}"] for side in joints if f"{LATENT}{side}" in columns
        }
        pictures = {camera: self.data.clip(self.row, camera) for camera in info.cameras}
        about = EpisodeInfo(
            task=self.task,
            instruction=self.row.sentence,
            hands=self.hands,
            joints=joints,
            rate_hz=info.fps,
            seed=self.seed,
            success=self.success,
            codec=str(info.own.get("codec", "")),
            verdict=self.verdict,
            session=self.row.row.get("session") or "",
            recording=self.row.row.get("recording") or "",
            source=self.source,
        )
        return Episode(about, pictures, action, measured, latent, others)


class Store:
    """A folder of data sets that episodes are added to; what is `checked` is read back before it
    counts as there.
    """

    def __init__(self, root: Path, *, checked: bool = False):
        self.root = root
        self._checked = checked
        self._writers: dict[str, Writer] = {}

    def add(self, episode: Episode) -> Path:
        """Writes an episode, complete or not at all; the data set it is in now."""
        root = root_of(self.root, episode.info.task, episode.info.hands)
        name = root.name
        if name not in self._writers:
            self._writers[name] = Writer(root, describe(episode), checked=self._checked)
        columns = {
            layout.ACTION: _in_line(episode.action),
            layout.STATE: _in_line(episode.measured),
        }
        columns |= {f"{LATENT}{side}": values for side, values in episode.latent.items()}
        columns = {key: np.asarray(values, np.float32) for key, values in columns.items()}
        columns |= {key: column.values for key, column in episode.others.items()}
        info = episode.info
        facts: dict[str, Any] = {
            key: getattr(info, key)
            for key in ("success", "seed", "verdict", "session", "recording", "source")
        }
        facts["hands"] = "+".join(info.hands[side] for side in sorted(info.hands))
        self._writers[name].add(columns, episode.pictures, episode.info.instruction, **facts)
        return root


def roots(folder: Path) -> list[Path]:
    """The data sets there are: the folder itself, or those in it."""
    return (
        [folder]
        if (folder / layout.INFO).is_file()
        else sorted(path.parents[1] for path in folder.glob(f"*/{layout.INFO}"))
    )


def find(root: Path) -> list[Stored]:
    """Every episode of a data set, or of the data sets in a folder, in order; raises XlvlaError
    where there is none.
    """
    found = [Stored(data, row) for data in map(Dataset, roots(root)) for row in data.episodes]
    if not found:
        raise XlvlaError(f"no episodes in {root}: record or collect some first")
    return found


def there(root: Path) -> list[Stored]:
    """The same of a folder that may not be there yet."""
    return find(root) if roots(root) else []


def name_of(task: str, hands: Mapping[Side, str]) -> str:
    """The name of the data set that episodes of this task, '' where none is known, and these hands
    go to.
    """
    return "-".join(filter(None, (task, *(hands[side] for side in sorted(hands)))))


def root_of(folder: Path, task: str, hands: Mapping[Side, str]) -> Path:
    """The data set in `folder` that such episodes go to; raises XlvlaError where the names lead
    elsewhere.
    """
    for what, name in {
        "the task": task,
        **{f"the {side} hand": hand for side, hand in hands.items()},
    }.items():
        if name or what != "the task":
            files.inside(folder, name, what)
    return files.inside(folder, name_of(task, hands), "the data set")


def digest(columns: Mapping[str, np.ndarray], *words: str) -> str:
    """Hash of numbers [F, ...] by name, and of words, 12 letters."""
    found = hashlib.sha256(repr(words).encode())
    for key in sorted(columns):
        values = np.ascontiguousarray(columns[key])
        found.update(f"{key} {values.dtype} {values.shape}".encode())
        found.update(values.tobytes())
    return found.hexdigest()[:12]


def describe(episode: Episode) -> Info:
    """The data set an episode belongs to."""
    info = episode.info
    names = [
        name for side in sorted(info.joints) for part in PARTS for name in info.joints[side][part]
    ]
    features: dict[str, Feature] = {
        key: layout.vector(names) for key in (layout.STATE, layout.ACTION)
    }
    features |= {
        f"{LATENT}{side}": layout.vector([f"z{i}" for i in range(values.shape[1])])
        for side, values in episode.latent.items()
    }
    features |= {
        key: layout.vector(column.names, str(column.values.dtype))
        for key, column in episode.others.items()
    }
    for camera, pictures in episode.pictures.items():
        height, width = next(iter(pictures)).shape[:2]
        features[f"{layout.IMAGES}{camera}"] = layout.video(height, width, int(info.rate_hz))
    hands = dict(info.hands)
    joints = {
        side: {part: list(names) for part, names in parts.items()}
        for side, parts in info.joints.items()
    }
    own = {"task": info.task, "hands": hands, "joints": joints, "codec": info.codec}
    return Info(int(info.rate_hz), features, "+".join(dict.fromkeys(hands.values())), own)


def _joints(data: Dataset) -> Joints:
    own: Joints | None = data.info.own.get("joints")
    if own is None or "hands" not in data.info.own:
        raise XlvlaError(
            f"{data.root} does not say which joints are of which hand: `xlvla data import` takes "
            "it over with a map of names"
        )
    return {side: {part: own[side][part] for part in PARTS} for side in SIDES if side in own}


def _by_part(
    joints: Joints, feature: Feature, values: np.ndarray
) -> dict[Side, dict[Part, np.ndarray]]:
    column = {name: index for index, name in enumerate(feature.names or ())}
    return {
        side: {part: values[:, [column[name] for name in names]] for part, names in parts.items()}
        for side, parts in joints.items()
    }


def _in_line(values: Mapping[Side, Mapping[Part, np.ndarray]]) -> np.ndarray:
    return np.concatenate([values[side][part] for side in sorted(values) for part in PARTS], 1)
