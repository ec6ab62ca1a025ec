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
from xlvla.text import plain
from xlvla.types import PARTS, SIDES, Part, Side
from xlvla_data.bag.card import CARD
from xlvla_data.episode import Column, Episode, EpisodeInfo
from xlvla_data.lerobot import layout
from xlvla_data.lerobot.layout import Feature, Info
from xlvla_data.lerobot.reader import Dataset, EpisodeRow
from xlvla_data.lerobot.writer import Writer

Joints = Mapping[Side, Mapping[Part, Sequence[str]]]
"""Names by side and part, in the order of an episode's columns; our own data sets say them."""

LATENT = "latent."
"""Columns of a hand's latent, by side."""

JOINT_COLUMNS = (layout.ACTION, layout.STATE)
"""Columns with a name for every joint."""

EXECUTED = "executed"
"""Column of what was in force instead of the action, where demonstrations were disturbed."""


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
        marks: list[object] = []
        for camera in self.data.info.cameras:
            path = self.data.clip(self.row, camera).path
            try:
                stat = path.stat()
            except OSError as error:
                raise XlvlaError(f"{path} cannot be read: {error.strerror or error}") from None
            marks.append([str(path.resolve()), stat.st_size, stat.st_mtime_ns, self.row.index])
        return marks

    @property
    def seed(self) -> int:
        seed = self.row.row.get("seed")
        return seed if type(seed) is int else -1

    @property
    def key(self) -> str:
        """What no other episode has: `session/recording`, of a simulated one
        `task-left-right/seed`, of any other a hash of its joints' numbers and its sentence, which
        stays the same where other columns are left out.
        """
        return self.key_with(self.hands) or self.hash_of(JOINT_COLUMNS)

    def key_with(self, hands: Mapping[Side, str]) -> str:
        """The key of the same episode for other hands; '' where only its content tells it from
        others.
        """
        recording = self._word("recording")
        if recording:
            return f"{self._word('session')}/{recording}"
        if self.seed < 0:
            return ""
        return f"{name_of(self.task, hands)}/{self.seed}"

    @cached_property
    def content(self) -> str:
        """Hash of its numbers and its sentence: two episodes of one content are the same one."""
        return self.hash_of(tuple(self.data.info.vectors))

    def hash_of(self, keys: Sequence[str]) -> str:
        """Hash of some columns' numbers and of the sentence."""
        known = [key for key in keys if key in self.data.info.vectors]
        columns = self.data.columns(self.row, *known) if known else {}
        return digest(columns, self.row.sentence)

    def same_as(self, other: Stored) -> bool:
        """Whether another episode is this one: what both have of it is the same. Latents are made
        of the joints' numbers, and may be of other codecs.
        """
        mine = self.data.info.vectors
        theirs = other.data.info.vectors
        both: list[str] = []
        for key, feature in mine.items():
            same_kind = key in theirs and theirs[key].document() == feature.document()
            if same_kind and not key.startswith(LATENT):
                both.append(key)
        return self.hash_of(both) == other.hash_of(both)

    @property
    def source(self) -> str:
        """Hash of the data it was made from; '' where it is unknown."""
        return self._word("source")

    def _word(self, fact: str) -> str:
        """A word in the table of episodes; '' where there is none."""
        word = self.row.row.get(fact)
        return word if isinstance(word, str) else ""

    @property
    def task(self) -> str:
        return str(self.data.info.own.get("task", ""))

    @property
    def hands(self) -> Mapping[Side, str]:
        return self.data.info.own.get("hands", {})

    @property
    def success(self) -> bool | None:
        """None where it was not marked."""
        success = self.row.row.get("success")
        return success if isinstance(success, bool) else None

    @property
    def verdict(self) -> str:
        return self._word("verdict")

    @property
    def disturbed(self) -> str | None:
        """What was disturbed, in words; '' where nothing was, None where it is not said."""
        disturbed = self.row.row.get("disturbed")
        return disturbed if isinstance(disturbed, str) else None

    @property
    def sentences(self) -> list[str]:
        """The instruction at every frame."""
        told = self.row.row.get("tasks")
        if isinstance(told, list) and len(told) == 1:
            return [self.row.sentence] * self.row.length
        return self.data.sentences(self.row)

    @property
    def duration_s(self) -> float:
        return self.row.length / self.data.info.fps

    def read(self) -> Episode:
        """The episode; its pictures stay on disk until they are gone through. Raises XlvlaError
        where it cannot be read, or lacks a row or a picture of a frame.
        """
        info = self.data.info
        self.data.require_pace(self.row)
        joints = _joints(self.data)
        columns = self.data.columns(self.row)
        action = _by_part(joints, info.features[layout.ACTION], columns[layout.ACTION])
        measured = _by_part(joints, info.features[layout.STATE], columns[layout.STATE])
        latent: dict[Side, np.ndarray] = {}
        for side in joints:
            key = f"{LATENT}{side}"
            if key in columns:
                latent[side] = columns[key]
        executed: Mapping[Side, Mapping[Part, np.ndarray]] = {}
        if EXECUTED in columns:
            executed = _by_part(joints, info.features[EXECUTED], columns[EXECUTED])
        others: dict[str, Column] = {}
        for key, values in columns.items():
            if key in (*JOINT_COLUMNS, EXECUTED) or key.startswith(LATENT):
                continue
            feature = info.features[key]
            names = feature.names or tuple(f"{key}{index}" for index in range(feature.size))
            others[key] = Column(values.reshape(self.row.length, -1), names)
        pictures = {camera: self.data.clip(self.row, camera) for camera in info.cameras}
        episode_info = EpisodeInfo(
            task=self.task,
            instruction=self.row.sentence,
            hands=self.hands,
            joints=joints,
            rate_hz=info.fps,
            seed=self.seed,
            success=self.success,
            codec=str(info.own.get("codec", "")),
            verdict=self.verdict,
            session=self._word("session"),
            recording=self._word("recording"),
            source=self.source,
            disturbed=self.disturbed,
        )
        return Episode(episode_info, pictures, action, measured, latent, others, executed)


class Store:
    """A folder of data sets that episodes are added to.

    Args:
        checked: every episode is read back before its data set names it.
    """

    def __init__(self, root: Path, *, checked: bool = False):
        self.root = root
        self._checked = checked
        self._writers: dict[str, Writer] = {}

    def add(self, episode: Episode) -> Path:
        """Writes an episode, complete or not at all; returns the data set it is in now."""
        info = episode.info
        root = root_of(self.root, info.task, info.hands)
        if root.name not in self._writers:
            self._writers[root.name] = Writer(root, describe(episode), checked=self._checked)
        facts: dict[str, Any] = {
            "success": info.success,
            "seed": info.seed,
            "verdict": info.verdict,
            "session": info.session,
            "recording": info.recording,
            "source": info.source,
            "hands": "+".join(info.hands[side] for side in sorted(info.hands)),
        }
        if info.disturbed is not None:
            facts["disturbed"] = info.disturbed
        writer = self._writers[root.name]
        writer.add(_columns(episode), episode.pictures, info.instruction, **facts)
        return root


def roots(folder: Path) -> list[Path]:
    """The data sets there are: the folder itself, or those in it."""
    if (folder / layout.INFO).is_file():
        return [folder]
    return sorted(path.parents[1] for path in folder.glob(f"*/{layout.INFO}"))


def find(root: Path) -> list[Stored]:
    """Every episode of a data set, or of the data sets in a folder, in order; raises XlvlaError
    where there is none.
    """
    episodes: list[Stored] = []
    for folder in roots(root):
        data = Dataset(folder)
        episodes += [Stored(data, row) for row in data.episodes]
    if not episodes:
        recorded = any(next(root.glob(f"{depth}{CARD}"), None) for depth in ("", "*/", "*/*/"))
        if recorded:
            raise XlvlaError(
                f"{root} holds recordings, no data set: `xlvla data convert {root} --to DATA` first"
            )
        raise XlvlaError(f"no episodes in {root}: record or collect some first")
    return episodes


def there(root: Path) -> list[Stored]:
    """The same of a folder that may not be there yet: none then."""
    return find(root) if roots(root) else []


def name_of(task: str, hands: Mapping[Side, str]) -> str:
    """The name of the data set that episodes of this task, '' where none is known, and these hands
    go to.
    """
    words = [task, *(hands[side] for side in sorted(hands))]
    return "-".join(word for word in words if word)


def root_of(folder: Path, task: str, hands: Mapping[Side, str]) -> Path:
    """The data set in `folder` that such episodes go to; raises XlvlaError where the names lead
    elsewhere.
    """
    if task:
        files.inside(folder, task, "the task")
    for side, hand in hands.items():
        files.inside(folder, hand, f"the {side} hand")
    return files.inside(folder, name_of(task, hands), "the data set")


def digest(columns: Mapping[str, np.ndarray], *words: str) -> str:
    """Hash of numbers [F, ...] by name, and of words, 12 letters."""
    digested = hashlib.sha256(repr(words).encode())
    for key in sorted(columns):
        values = np.ascontiguousarray(columns[key])
        digested.update(f"{key} {values.dtype} {values.shape}".encode())
        digested.update(values.tobytes())
    return digested.hexdigest()[:12]


def describe(episode: Episode) -> Info:
    """The data set an episode belongs to."""
    info = episode.info
    names: list[str] = []
    for side in sorted(info.joints):
        for part in PARTS:
            names += info.joints[side][part]
    # The order of the features is that of the columns on disk
    features: dict[str, Feature] = {
        layout.STATE: layout.vector(names),
        layout.ACTION: layout.vector(names),
    }
    if episode.executed:
        features[EXECUTED] = layout.vector(names)
    for side, values in episode.latent.items():
        numbers = [f"z{index}" for index in range(values.shape[1])]
        features[f"{LATENT}{side}"] = layout.vector(numbers)
    for key, column in episode.others.items():
        features[key] = layout.vector(column.names, str(column.values.dtype))
    for camera, pictures in episode.pictures.items():
        height, width = next(iter(pictures)).shape[:2]
        features[f"{layout.IMAGES}{camera}"] = layout.video(height, width, info.rate_hz)
    hands = dict(info.hands)
    joints: dict[Side, dict[Part, list[str]]] = {}
    for side, parts in info.joints.items():
        joints[side] = {part: list(own) for part, own in parts.items()}
    own = {"task": info.task, "hands": hands, "joints": joints, "codec": info.codec}
    robot_type = "+".join(dict.fromkeys(hands.values()))
    return Info(info.rate_hz, features, robot_type, own)


def _columns(episode: Episode) -> dict[str, np.ndarray]:
    """Numbers [F, ...] by feature: joints and latents as float32, others as they are."""
    columns = {
        layout.ACTION: np.asarray(_in_line(episode.action), np.float32),
        layout.STATE: np.asarray(_in_line(episode.measured), np.float32),
    }
    if episode.executed:
        columns[EXECUTED] = np.asarray(_in_line(episode.executed), np.float32)
    for side, values in episode.latent.items():
        columns[f"{LATENT}{side}"] = np.asarray(values, np.float32)
    for key, column in episode.others.items():
        columns[key] = column.values
    return columns


def _joints(data: Dataset) -> Joints:
    own: Joints | None = data.info.own.get("joints")
    if own is None or "hands" not in data.info.own:
        raise XlvlaError(
            f"{data.root} does not say which joints are of which hand: `xlvla data import` takes "
            "it over with a map of names"
        )
    for key in JOINT_COLUMNS:
        if key not in data.info.vectors:
            raise XlvlaError(f"{data.root} has no feature '{key}'")
    joints: dict[Side, dict[Part, Sequence[str]]] = {}
    for side in SIDES:
        if side in own:
            joints[side] = {part: own[side][part] for part in PARTS}
    return joints


def _by_part(
    joints: Joints, feature: Feature, values: np.ndarray
) -> dict[Side, dict[Part, np.ndarray]]:
    """Columns of a feature [F, J] by side and part, found by the joints' names."""
    column = {name: index for index, name in enumerate(feature.names or ())}
    rows = values.reshape(len(values), -1)
    by_part: dict[Side, dict[Part, np.ndarray]] = {}
    for side, parts in joints.items():
        by_part[side] = {}
        for part, names in parts.items():
            missing = [name for name in names if name not in column]
            if missing:
                raise XlvlaError(f"no column is called '{plain(missing[0], 80)}', as a joint is")
            by_part[side][part] = rows[:, [column[name] for name in names]]
    return by_part


def _in_line(positions: Mapping[Side, Mapping[Part, np.ndarray]]) -> np.ndarray:
    """Positions [F, N] of all sides and parts beside each other, in the order of `describe`."""
    rows: list[np.ndarray] = []
    for side in sorted(positions):
        rows += [positions[side][part] for part in PARTS]
    return np.concatenate(rows, 1)
