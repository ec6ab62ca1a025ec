"""Writing a data set, one episode after the other; what is written stays whole, whatever happens to
the writer.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from xlvla.errors import XlvlaError, unknown
from xlvla.files import replacing
from xlvla_data.episode import Pictures
from xlvla_data.lerobot import layout, statistics, tables, verification, video
from xlvla_data.lerobot.layout import Info
from xlvla_data.lerobot.statistics import Glimpses, Stats
from xlvla_data.lerobot.video import Clip


class Writer:
    """Appends episodes to a data set, new or begun earlier with the same features.

    An episode's files come first, the tables that name them last: an interrupted episode leaves a
    file nobody knows, and the next one takes its place. Another process's writer is refused.

    Args:
        info: what is recorded; its totals do not matter.
        checked: every frame of an episode is read back and compared before the tables name it.
    """

    def __init__(self, root: Path, info: Info, *, checked: bool = False):
        self.root = root
        self.rows = list[dict[str, Any]]()
        self.sentences = list[str]()
        self._checked = checked
        self._stats = dict[str, Stats]()
        self._lock = locked(root / layout.LOCK)
        self.info = replace(info, total_episodes=0, total_frames=0, total_tasks=0)
        if (root / layout.INFO).is_file():
            self._resume()

    def add(
        self,
        columns: Mapping[str, np.ndarray],
        pictures: Mapping[str, Pictures],
        sentence: str,
        **facts: Any,
    ) -> int:
        """Writes an episode of F frames; its number.

        Args:
            columns: [F, ...] by feature.
            pictures: F pictures [H, W, 3] by camera's name.
            facts: further columns of the table of episodes, the same for all.

        Raises:
            XlvlaError: features are missing or unknown, lengths differ, or a number is not finite:
                nothing is written then. Or what was written is not what is read, where that is
                checked: no table names it then.
        """
        length = self._check(columns, pictures)
        number = len(self.rows)
        row, sentences = self._begin(columns, length, sentence)
        stats = {key: statistics.of_vector(columns[key]) for key in self.info.vectors}
        for camera, key in self.info.cameras.items():
            path = self.root / layout.numbered(layout.VIDEO, number, video_key=key)
            glimpses = Glimpses(pictures[camera])
            video.write(path, glimpses, self.info.fps)
            if self._checked:
                verification.same_pictures(path, glimpses.seen)
            row |= _clip(key, number, 0.0, length / self.info.fps)
            stats[key] = statistics.of_glimpses(glimpses.seen)
        row |= {
            f"stats/{key}/{name}": value.tolist()
            for key, entry in stats.items()
            for name, value in entry.items()
        } | facts
        self._tell(row, sentences)
        return number

    def adopt(
        self,
        columns: Mapping[str, np.ndarray],
        clips: Mapping[str, Clip],
        sentence: str,
        table_row: Mapping[str, Any],
    ) -> int:
        """Takes over an episode of another data set, whose videos are linked where the disk allows
        it, not encoded again.

        Args:
            clips: the whole episode by camera's name.
            told: what the table of episodes says of it there, its statistics too.
        """
        length = self._check(columns, clips)
        number = len(self.rows)
        row, sentences = self._begin(columns, length, sentence)
        for camera, key in self.info.cameras.items():
            clip = clips[camera]
            path = self.root / layout.numbered(layout.VIDEO, number, video_key=key)
            linked(clip.path, path)
            row |= _clip(key, number, clip.start_s, clip.start_s + length / self.info.fps)
        self._tell({**table_row, **row}, sentences)
        return number

    def _begin(
        self, columns: Mapping[str, np.ndarray], length: int, sentence: str
    ) -> tuple[dict[str, Any], list[str]]:
        """Writes an episode's numbers; what the table of episodes says of them, and the sentences
        with its own.
        """
        number = len(self.rows)
        first = self.info.total_frames
        frame = np.arange(length)
        sentences = self.sentences if sentence in self.sentences else [*self.sentences, sentence]
        indices = {"timestamp": frame / self.info.fps, "frame_index": frame, "index": first + frame}
        indices |= {
            "episode_index": np.full(length, number),
            "task_index": np.full(length, sentences.index(sentence)),
        }
        path = self.root / layout.numbered(layout.DATA, number)
        tables.write(path, tables.frames(self.info.vectors, columns, indices))
        if self._checked:
            verification.same_numbers(path, columns, indices)
        row: dict[str, Any] = {
            "episode_index": number,
            "tasks": [sentence],
            "length": length,
            **_place("data", number),
        }
        row |= {
            "dataset_from_index": first,
            "dataset_to_index": first + length,
            **_place("meta/episodes", number // layout.ROWS),
        }
        return row, sentences

    def _tell(self, row: dict[str, Any], sentences: list[str]) -> None:
        """Makes an episode part of the data set; `info.json` is last, so it never promises what is
        not there.
        """
        page = row["episode_index"] // layout.ROWS
        whole = {
            key: statistics.merged([*self._whole(key), _stats_of_row(row, key)])
            for key in self.info.features
        }
        tables.write(self.root / layout.TASKS, tables.tasks(sentences))
        tables.write(
            self.root / layout.numbered(layout.EPISODES, page),
            tables.episodes([*self.rows[page * layout.ROWS :], row]),
        )
        plain = {
            key: {name: value.tolist() for name, value in stats.items()}
            for key, stats in whole.items()
        }
        layout.write_json(self.root / layout.STATS, plain)
        frames = int(row["dataset_to_index"])
        self.info = replace(
            self.info,
            total_episodes=len(self.rows) + 1,
            total_frames=frames,
            total_tasks=len(sentences),
        )
        layout.write_json(self.root / layout.INFO, self.info.document())
        self.rows = [*self.rows, row]
        self.sentences = sentences
        self._stats = whole

    def _whole(self, key: str) -> list[Stats]:
        """Statistics of all episodes so far; none before the first."""
        return [self._stats[key]] if self.rows else []

    def _resume(self) -> None:
        there = layout.read_info(self.root)
        if different := layout.differences(there, self.info):
            raise XlvlaError(
                f"{self.root} holds a data set of other {', '.join(different)}: choose another "
                "folder"
            )
        pages = range(-(-there.total_episodes // layout.ROWS))
        tabled = [tables.read(self.root / layout.numbered(layout.EPISODES, page)) for page in pages]
        self.rows = [row for table in tabled for row in table.to_pylist()][: there.total_episodes]
        self._stats = {
            key: statistics.merged(_stats_of_row(row, key) for row in self.rows)
            for key in self.info.features
        }
        self.sentences = tables.task_sentences(tables.read(self.root / layout.TASKS))
        self.info = there

    def _check(self, columns: Mapping[str, np.ndarray], pictures: Mapping[str, Pictures]) -> int:
        for kind, given, known in (
            ("feature", columns, self.info.vectors),
            ("camera", pictures, self.info.cameras),
        ):
            for name in given:
                if name not in known:
                    raise unknown(kind, name, known)
            missing = [name for name in known if name not in given]
            if missing:
                raise XlvlaError(
                    f"an episode without {kind} {', '.join(missing)}: this data set has "
                    f"{', '.join(known)}"
                )
        lengths = {name: len(value) for name, value in {**columns, **pictures}.items()}
        if len(set(lengths.values())) != 1 or not min(lengths.values()):
            raise XlvlaError(
                f"an episode needs as many frames of everything, at least one: {lengths}"
            )
        for name, value in columns.items():
            shape = self.info.features[name].shape
            if value.shape[1:] != shape and not (shape == (1,) and value.ndim == 1):
                raise XlvlaError(
                    f"'{name}' is {list(value.shape[1:])} per frame, this data set's is "
                    f"{list(shape)}"
                )
            if not np.isfinite(value).all():
                raise XlvlaError(f"'{name}' holds a number that is not finite")
        return next(iter(lengths.values()))


def locked(path: Path) -> IO[str]:
    """A file that is this process's while it is open; raises XlvlaError where it is another's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise XlvlaError(
            f"{path.parents[1]} is being written by another process: wait for it to end"
        ) from None
    return file


def _stats_of_row(row: Mapping[str, Any], key: str) -> Stats:
    """The statistics in a row of the table of episodes."""
    return {
        name: np.array(row[f"stats/{key}/{name}"])
        for name in ("min", "max", "mean", "std", "count", *statistics.QUANTILES)
    }


def linked(source: Path, target: Path) -> None:
    """The same file at another place: a hard link, or a copy where there can be none; complete or
    absent.
    """
    with replacing(target) as fresh:
        try:
            os.link(source, fresh)
        except OSError:
            shutil.copyfile(source, fresh)


def _clip(key: str, number: int, begin_s: float, end_s: float) -> dict[str, Any]:
    """What the table of episodes says of a video."""
    return {
        **_place(f"videos/{key}", number),
        f"videos/{key}/from_timestamp": begin_s,
        f"videos/{key}/to_timestamp": end_s,
    }


def _place(what: str, number: int) -> dict[str, int]:
    return {
        f"{what}/chunk_index": number // layout.CHUNK,
        f"{what}/file_index": number % layout.CHUNK,
    }
