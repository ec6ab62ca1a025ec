"""Reading a LeRobot data set, written by xlvla or not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError, unknown
from xlvla.text import plain
from xlvla_data import bodies
from xlvla_data.lerobot import layout, tables, video
from xlvla_data.lerobot.embedded import EmbeddedClip
from xlvla_data.lerobot.video import Clip


@dataclass(frozen=True)
class EpisodeRow:
    """An episode in the table of episodes.

    Args:
        index: its number.
        length: how many frames it has.
        sentence: its instruction.
        row: all columns of the table but the statistics.
    """

    index: int
    length: int
    sentence: str
    row: Mapping[str, Any]


class Dataset:
    """A LeRobot v3 data set on disk.

    Attributes:
        info: what it says of itself; where it does not say whose joints it has, as sets that
            LeRobot's tools wrote anew, they are inferred from their names.
        inferred: whether they are.

    Raises:
        XlvlaError: there is none, of this version, or it is incomplete.
    """

    def __init__(self, root: Path):
        self.root = root
        self.info = layout.read_info(root)
        self.inferred = False
        if "joints" not in self.info.own:
            own = bodies.inferred(self.info)
            self.inferred = bool(own)
            self.info = replace(self.info, own={**self.info.own, **own})
        # Of videos, which may hold many episodes: times of their pictures, and half a period
        self._times: dict[Path, tuple[np.ndarray, float]] = {}

    def __len__(self) -> int:
        return len(self.episodes)

    @property
    def notes(self) -> list[str]:
        """What is not read of it, and what is taken for granted, a line each."""
        notes: list[str] = []
        if self.inferred:
            hands = [f"{side} {hand}" for side, hand in self.info.own["hands"].items()]
            notes.append(
                f"does not say whose joints it has: by their names those of {', '.join(hands)}"
            )
        if self.info.left_out:
            left_out = [f"{plain(key, 80)} ({why})" for key, why in self.info.left_out.items()]
            notes.append(f"left out: {', '.join(left_out)}")
        return notes

    @cached_property
    def episodes(self) -> list[EpisodeRow]:
        """The episodes that `info.json` counts, in the order of their numbers."""
        episodes: dict[int, EpisodeRow] = {}
        for page in self._pages:
            for row in self._table(page):
                index = _count(row, "episode_index", page)
                # A writer that was interrupted may have left a further row
                if index >= self.info.total_episodes:
                    continue
                if index in episodes:
                    raise XlvlaError(f"{page} has episode {index} a second time")
                length = _count(row, "length", page)
                episodes[index] = EpisodeRow(index, length, self._sentence(row, page), row)
        if len(episodes) != self.info.total_episodes:
            raise XlvlaError(
                f"{self.root} promises {self.info.total_episodes} episodes but its table has "
                f"{len(episodes)}"
            )
        return [episodes[index] for index in sorted(episodes)]

    def table_row(self, episode: EpisodeRow) -> Mapping[str, Any]:
        """All columns of the table of episodes for one, its statistics too."""
        return self._table_rows[episode.index]

    @cached_property
    def _table_rows(self) -> dict[int, dict[str, Any]]:
        rows: dict[int, dict[str, Any]] = {}
        for page in self._pages:
            for row in tables.dictionaries(tables.read(page), page):
                rows[_count(row, "episode_index", page)] = row
        return rows

    @property
    def _pages(self) -> list[Path]:
        """The files of the table of episodes."""
        return sorted((self.root / "meta/episodes").rglob("*.parquet"))

    def columns(self, episode: EpisodeRow, *names: str) -> dict[str, np.ndarray]:
        """Columns of an episode by feature, all of them if none is named: [F, ...] of its shape,
        indices [F].
        """
        vectors = self.info.vectors
        wanted = names or tuple(vectors)
        known = {*vectors, *layout.INDICES}
        for name in wanted:
            if name not in known:
                raise unknown("feature", name, vectors)
        path = self._data_path(episode)
        table = tables.of_episode(path, list(dict.fromkeys(wanted)), episode.index)
        if len(table) != episode.length:
            raise XlvlaError(
                f"{path} has {len(table)} of the {episode.length} frames of episode {episode.index}"
            )
        columns: dict[str, np.ndarray] = {}
        try:
            for name in wanted:
                values = tables.values(table, name)
                columns[name] = _shaped(name, values, vectors.get(name))
        except XlvlaError as error:
            raise XlvlaError(f"{path}: {error}") from None
        return columns

    def _data_path(self, episode: EpisodeRow) -> Path:
        """The table of frames that an episode is in."""
        return self._file(self.info.data_path, episode, "data")

    def _file(self, template: str, episode: EpisodeRow, kind: str, **fields: str) -> Path:
        """A file by its numbers in the table of episodes."""
        numbers: dict[str, int] = {}
        for number in ("chunk_index", "file_index"):
            numbers[number] = _count(episode.row, f"{kind}/{number}", self.root)
        return self.root / template.format(**numbers, **fields)

    def sentences(self, episode: EpisodeRow) -> list[str]:
        """The instruction at every frame [F], by the columns and the table of tasks."""
        indices = self.columns(episode, "task_index")["task_index"].tolist()
        known = self._tasks
        if known is None:
            return [episode.sentence] * episode.length
        strange = sorted(set(indices) - set(known))
        if strange:
            listing = ", ".join(map(str, known)) or "none"
            raise XlvlaError(
                f"{self.root}: task_index is {strange[0]}, {layout.TASKS} has {listing}"
            )
        return [known[index] for index in indices]

    @cached_property
    def _tasks(self) -> dict[int, str] | None:
        """The sentences by their index; None where there is no table of them."""
        path = self.root / layout.TASKS
        if not path.is_file():
            return None
        return tables.tasks_by_index(tables.read(path))

    def _sentence(self, row: Mapping[str, Any], page: Path) -> str:
        """An episode's instruction: of the table of episodes, else of its first frame."""
        sentences = row.get("tasks")
        if isinstance(sentences, list) and sentences and isinstance(sentences[0], str):
            return sentences[0]
        if isinstance(sentences, str):
            return sentences
        if self._tasks is None:
            return ""
        index = _count(row, "episode_index", page)
        episode = EpisodeRow(index, _count(row, "length", page), "", row)
        return self.sentences(episode)[0] if episode.length else ""

    def shots(self, episode: EpisodeRow, camera: str) -> tuple[np.ndarray, Clip | EmbeddedClip]:
        """A camera's pictures by their own time: when each was taken [N] s from the episode's
        beginning, and the pictures.
        """
        clip = self.clip(episode, camera)
        if isinstance(clip, EmbeddedClip):
            # A row has its picture
            return self.columns(episode, "timestamp")["timestamp"].astype(np.float64), clip
        if clip.path not in self._times:
            self._times[clip.path] = video.times(clip.path)
        stamps_s, half_s = self._times[clip.path]
        key = self.info.cameras[camera]
        end_s = clip.start_s + episode.length / self.info.fps
        if episode.row.get(f"videos/{key}/to_timestamp"):
            end_s = _seconds(episode.row, f"videos/{key}/to_timestamp", self.root)
        # Times are rounded: half a period before the first picture there is none of this episode
        within = (stamps_s >= clip.start_s - half_s) & (stamps_s < end_s - half_s)
        stamps_s = stamps_s[within] - clip.start_s
        return stamps_s, replace(clip, frames=len(stamps_s), rate_hz=None)

    def require_pace(self, episode: EpisodeRow) -> None:
        """Raises XlvlaError where an episode does not have a row and a picture of each camera every
        period, as all take it that do not look at times.
        """
        period_s = 1 / self.info.fps
        due_s = np.arange(episode.length) * period_s
        off_s = np.abs(self.columns(episode, "timestamp")["timestamp"] - due_s)
        # Not `> 0.5`: NaN is no time, either
        unpaced = np.flatnonzero(~(off_s <= 0.5 * period_s))
        if unpaced.size:
            raise XlvlaError(
                f"{self.root}: episode {episode.index}: the timestamp of frame {unpaced[0]} is "
                f"{off_s[unpaced[0]]:.2f} s from frame / rate: `xlvla data import` takes rows by "
                "their own time"
            )
        # Ours were read back when they were written
        if not self.inferred:
            return
        for camera in self.info.cameras:
            stamps_s, _ = self.shots(episode, camera)
            if len(stamps_s) != episode.length:
                raise XlvlaError(
                    f"{self.root}: episode {episode.index}: camera {plain(camera, 80)} has "
                    f"{len(stamps_s)} pictures in the time of {episode.length} frames: `xlvla data "
                    "import` takes pictures by their own time"
                )

    def clip(self, episode: EpisodeRow, camera: str) -> Clip | EmbeddedClip:
        """The pictures of an episode, RGB uint8 [H, W, 3]."""
        if camera not in self.info.cameras:
            raise unknown("camera", camera, self.info.cameras)
        key = self.info.cameras[camera]
        if self.info.features[key].dtype == "image":
            path = self._data_path(episode)
            return EmbeddedClip(path, self.root, key, episode.index, episode.length)
        path = self._file(self.info.video_path, episode, f"videos/{key}", video_key=key)
        start_s = _seconds(episode.row, f"videos/{key}/from_timestamp", self.root)
        return Clip(path, start_s, episode.length, rate_hz=self.info.fps)

    def _table(self, file: Path) -> list[dict[str, Any]]:
        """Rows of a file of the table of episodes, without the statistics, which are large."""
        table = tables.read(file)
        columns = [name for name in table.column_names if not name.startswith("stats/")]
        return tables.dictionaries(table.select(columns), file)


def _count(row: Mapping[str, Any], key: str, place: Path) -> int:
    """A number of the table of episodes; raises XlvlaError where it is none."""
    value = row.get(key)
    if type(value) is not int or value < 0:
        raise XlvlaError(
            f"{place}: the table of episodes says that {plain(key, 80)} is "
            f"{plain(repr(value), 40)}: a whole number of at least 0 is wanted"
        )
    return value


def _seconds(row: Mapping[str, Any], key: str, place: Path) -> float:
    """A time of the table of episodes [s]; raises XlvlaError where it is none."""
    value = row.get(key)
    number = float(value) if isinstance(value, (int, float)) else math.nan
    if not 0 <= number < math.inf:
        raise XlvlaError(
            f"{place}: the table of episodes says that {plain(key, 80)} is "
            f"{plain(repr(value), 40)}: seconds are wanted"
        )
    return number


def _shaped(key: str, values: np.ndarray, feature: layout.Feature | None) -> np.ndarray:
    """Rows of a feature's shape; a scalar's are [F, 1]."""
    if feature is None:
        if values.ndim > 1 and values.shape[1] != 1:
            raise XlvlaError(f"'{key}' has {values.shape[1]} numbers in a row, not 1")
        return values.reshape(-1)
    if values.size != len(values) * feature.size:
        raise XlvlaError(
            f"'{key}' has {values.size // max(1, len(values))} numbers in a row, "
            f"{layout.INFO} says {feature.size}"
        )
    return values.reshape(len(values), *(feature.shape or (1,)))
