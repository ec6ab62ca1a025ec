"""Writing a data set, one episode after the other; what is written stays whole, whatever happens to
the writer.
"""

from __future__ import annotations

import fcntl
import math
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from xlvla.errors import XlvlaError, unknown
from xlvla.files import replacing
from xlvla_data.episode import Pictures
from xlvla_data.lerobot import layout, statistics, tables, verification, video
from xlvla_data.lerobot.embedded import EmbeddedClip
from xlvla_data.lerobot.layout import Info
from xlvla_data.lerobot.statistics import Glimpses, Stats
from xlvla_data.lerobot.video import Clip


class Writer:
    """Appends episodes to a data set, new or begun earlier with the same features.

    An episode's files come first, the tables that name them last: an interrupted episode leaves
    files that no table names, and the next one overwrites them. A second process that writes the
    same data set is refused.

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
        """Writes an episode of F frames; returns its number.

        Args:
            columns: [F, ...] by feature.
            pictures: F pictures [H, W, 3] by camera's name.
            facts: further columns of the table of episodes, the same for all.

        Raises:
            XlvlaError: features are missing or unknown, lengths differ, or a number is not finite;
                nothing is written then. Or, where it is checked, an episode is read back other
                than it was written; no table names it then.
        """
        length = self._check(columns, pictures)
        number = len(self.rows)
        row, sentences = self._begin(columns, [sentence] * length)
        stats = {key: statistics.of_vector(columns[key]) for key in self.info.vectors}
        for camera, key in self.info.cameras.items():
            path = self.root / layout.numbered(layout.VIDEO, number, video_key=key)
            glimpses = Glimpses(pictures[camera])
            video.write(path, glimpses, self.info.fps)
            if self._checked:
                verification.same_pictures(path, glimpses.seen)
            row |= _clip(key, number, 0.0, length / self.info.fps)
            stats[key] = statistics.of_glimpses(glimpses.seen)
        for key, entry in stats.items():
            row |= _columns_of(key, entry)
        row |= facts
        self._publish(row, sentences)
        return number

    def adopt(
        self,
        columns: Mapping[str, np.ndarray],
        clips: Mapping[str, Clip | EmbeddedClip],
        told: Sequence[str],
        table_row: Mapping[str, Any],
    ) -> int:
        """Takes over an episode of another data set, whose videos are linked where the disk allows
        it, not encoded again.

        Args:
            clips: the whole episode by camera's name.
            told: the instruction at every frame [F].
            table_row: its row in the table of episodes there; what it lacks of the statistics is
                computed.
        """
        length = self._check(columns, clips)
        number = len(self.rows)
        row, sentences = self._begin(columns, told)
        for camera, key in self.info.cameras.items():
            clip = clips[camera]
            path = self.root / layout.numbered(layout.VIDEO, number, video_key=key)
            begin_s = 0.0
            if isinstance(clip, Clip):
                linked(clip.path, path)
                begin_s = clip.start_s
            else:
                video.write(path, clip, self.info.fps)
            row |= _clip(key, number, begin_s, begin_s + length / self.info.fps)
        # Columns of features that are not taken over, and of files that lie elsewhere, stay behind
        facts: dict[str, Any] = {}
        for name, value in table_row.items():
            if "/" not in name:
                facts[name] = value
        if any(isinstance(clip, Clip) and _shared(clip) for clip in clips.values()):
            facts[layout.SHARED] = True
        for key in self.info.features:
            row |= _columns_of(key, _stats_there(table_row, key, columns, clips, self.info))
        self._publish({**facts, **row}, sentences)
        return number

    def _begin(
        self, columns: Mapping[str, np.ndarray], told: Sequence[str]
    ) -> tuple[dict[str, Any], list[str]]:
        """Writes an episode's numbers, and what it is told at every frame [F]; returns its row in
        the table of episodes as far as it is known, and the sentences with its own.
        """
        length = len(told)
        number = len(self.rows)
        first = self.info.total_frames
        frame = np.arange(length)
        own_sentences = list(dict.fromkeys(told))
        sentences = list(dict.fromkeys([*self.sentences, *own_sentences]))
        indices = {
            "timestamp": frame / self.info.fps,
            "frame_index": frame,
            "index": first + frame,
            "episode_index": np.full(length, number),
            "task_index": np.array([sentences.index(sentence) for sentence in told]),
        }
        path = self.root / layout.numbered(layout.DATA, number)
        tables.write(path, tables.frames(self.info.vectors, columns, indices))
        if self._checked:
            verification.same_numbers(path, columns, indices)
        row: dict[str, Any] = {
            "episode_index": number,
            "tasks": own_sentences,
            "length": length,
            **_place("data", number),
            "dataset_from_index": first,
            "dataset_to_index": first + length,
            **_place("meta/episodes", number // layout.ROWS),
        }
        return row, sentences

    def _publish(self, row: dict[str, Any], sentences: list[str]) -> None:
        """Makes an episode part of the data set; `info.json` is written last, so that it never
        counts what is not there.
        """
        stats: dict[str, Stats] = {}
        for key in self.info.features:
            added = _stats_of_row(row, key)
            parts = [self._stats[key], added] if self.rows else [added]
            stats[key] = statistics.merged(parts)
        page = row["episode_index"] // layout.ROWS
        page_rows = [*self.rows[page * layout.ROWS :], row]
        page_path = self.root / layout.numbered(layout.EPISODES, page)
        tables.write(self.root / layout.TASKS, tables.tasks(sentences))
        tables.write(page_path, tables.episodes(page_rows))
        layout.write_json(self.root / layout.STATS, _document(stats))
        self.info = replace(
            self.info,
            total_episodes=len(self.rows) + 1,
            total_frames=int(row["dataset_to_index"]),
            total_tasks=len(sentences),
        )
        layout.write_json(self.root / layout.INFO, self.info.document())
        self.rows = [*self.rows, row]
        self.sentences = sentences
        self._stats = stats

    def _resume(self) -> None:
        """Continues the data set that is there; raises XlvlaError where its features differ."""
        there = layout.read_info(self.root)
        different = layout.differences(there, self.info)
        if different:
            raise XlvlaError(
                f"{self.root} holds a data set of other {', '.join(different)}: choose another "
                "folder"
            )
        rows: list[dict[str, Any]] = []
        pages = math.ceil(there.total_episodes / layout.ROWS)
        for page in range(pages):
            path = self.root / layout.numbered(layout.EPISODES, page)
            rows += tables.read(path).to_pylist()
        # A writer that was interrupted may have left a further row
        self.rows = rows[: there.total_episodes]
        self._stats = {}
        for key in self.info.features:
            stats = [_stats_of_row(row, key) for row in self.rows]
            self._stats[key] = statistics.merged(stats)
        self.sentences = tables.task_sentences(tables.read(self.root / layout.TASKS))
        self.info = there

    def _check(self, columns: Mapping[str, np.ndarray], pictures: Mapping[str, Pictures]) -> int:
        """The number of an episode's frames; raises XlvlaError where it does not fit."""
        _check_names("feature", columns, self.info.vectors)
        _check_names("camera", pictures, self.info.cameras)
        lengths = {name: len(value) for name, value in {**columns, **pictures}.items()}
        if len(set(lengths.values())) != 1 or not min(lengths.values()):
            raise XlvlaError(
                f"an episode needs as many frames of everything, at least one: {lengths}"
            )
        for name, value in columns.items():
            shape = self.info.features[name].shape
            scalar = shape == (1,) and value.ndim == 1
            if value.shape[1:] != shape and not scalar:
                raise XlvlaError(
                    f"'{name}' is {list(value.shape[1:])} per frame, this data set's is "
                    f"{list(shape)}"
                )
            if not np.isfinite(value).all():
                raise XlvlaError(f"'{name}' holds a number that is not finite")
        return next(iter(lengths.values()))


def _check_names(kind: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raises XlvlaError where the names of an episode are not those of the data set."""
    given = list(given)
    known = list(known)
    for name in given:
        if name not in known:
            raise unknown(kind, name, known)
    missing = [name for name in known if name not in given]
    if missing:
        raise XlvlaError(
            f"an episode without {kind} {', '.join(missing)}: this data set has {', '.join(known)}"
        )


def locked(path: Path) -> IO[str]:
    """A file that this process locks while it is open; raises XlvlaError where another has it."""
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
    """The statistics in a row of the table of episodes; raises XlvlaError where one is missing."""
    stats = statistics.of_row(row, key)
    if stats is None:
        raise XlvlaError(f"the table of episodes has no statistics of '{key}'")
    return stats


def _stats_there(
    row: Mapping[str, Any],
    key: str,
    columns: Mapping[str, np.ndarray],
    clips: Mapping[str, Pictures],
    info: Info,
) -> Stats:
    """The statistics of a feature that a row of the table of episodes has, else those of its
    frames.
    """
    stats = statistics.of_row(row, key)
    if key in columns:
        size = info.features[key].size
        if stats is not None and stats["mean"].shape == (size,):
            return stats
        return statistics.of_vector(columns[key])
    if stats is not None and stats["mean"].shape == (3, 1, 1):
        return stats
    for camera, own in info.cameras.items():
        if own == key:
            return statistics.of_pictures(clips[camera])
    raise XlvlaError(f"there is nothing of '{key}'")


def _shared(clip: Clip) -> bool:
    """Whether the video of an episode has pictures of others, too."""
    return clip.start_s > 0 or video.count(clip.path) > clip.frames


def _columns_of(key: str, stats: Stats) -> dict[str, Any]:
    """Statistics as columns of the table of episodes."""
    return {f"stats/{key}/{name}": value.tolist() for name, value in stats.items()}


def _document(stats: Mapping[str, Stats]) -> dict[str, dict[str, Any]]:
    """The contents of `stats.json`."""
    document: dict[str, dict[str, Any]] = {}
    for key, entry in stats.items():
        document[key] = {name: value.tolist() for name, value in entry.items()}
    return document


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
    """The columns of a video in the table of episodes."""
    return {
        **_place(f"videos/{key}", number),
        f"videos/{key}/from_timestamp": begin_s,
        f"videos/{key}/to_timestamp": end_s,
    }


def _place(what: str, number: int) -> dict[str, int]:
    """The columns, in the table of episodes, of the n-th file of a kind."""
    return {
        f"{what}/chunk_index": number // layout.CHUNK,
        f"{what}/file_index": number % layout.CHUNK,
    }
