"""Writing a data set, one episode after the other; what is written stays whole, whatever happens to the writer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError, unknown
from xlvla_data.episode import Pictures
from xlvla_data.lerobot import layout, statistics, tables, video
from xlvla_data.lerobot.layout import Info


class Writer:
    """Appends episodes to a data set, new or begun earlier with the same features.

    An episode's files come first, the tables that name them last: an interrupted episode leaves a file nobody knows, and the
    next one takes its place. One writer at a time.

    Args:
        info: what is recorded; its totals do not matter.
    """

    def __init__(self, root: Path, info: Info):
        self.root, self.rows, self.sentences = root, list[dict[str, Any]](), list[str]()
        self.info = replace(info, total_episodes=0, total_frames=0, total_tasks=0)
        if (root / layout.INFO).is_file():
            self._resume()

    def add(self, columns: Mapping[str, np.ndarray], pictures: Mapping[str, Pictures], sentence: str, **facts: Any) -> int:
        """Writes an episode of F frames; its number.

        Args:
            columns: [F, ...] by feature.
            pictures: F pictures [H, W, 3] by camera's name.
            facts: further columns of the table of episodes, the same for all.

        Raises:
            XlvlaError: features are missing or unknown, lengths differ, or a number is not finite. Nothing is written then.
        """
        length = self._check(columns, pictures)
        number, first = len(self.rows), self.info.total_frames
        sentences = self.sentences if sentence in self.sentences else [*self.sentences, sentence]
        self._write_frames(number, first, length, columns, sentences.index(sentence))
        row: dict[str, Any] = {"episode_index": number, "tasks": [sentence], "length": length, **_place("data", number)}
        row |= {"dataset_from_index": first, "dataset_to_index": first + length, **_place("meta/episodes", 0)}
        stats = {key: statistics.of_vector(columns[key]) for key in self.info.vectors}
        for camera, key in self.info.cameras.items():
            video.write(self.root / layout.numbered(layout.VIDEO, number, video_key=key), pictures[camera], self.info.fps)
            row |= {**_place(f"videos/{key}", number), f"videos/{key}/from_timestamp": 0.0}
            row |= {f"videos/{key}/to_timestamp": length / self.info.fps}
            stats[key] = statistics.of_pictures(pictures[camera])
        row |= {f"stats/{key}/{name}": value.tolist() for key, entry in stats.items() for name, value in entry.items()} | facts
        self._tell([*self.rows, row], sentences)
        return number

    def _write_frames(self, number: int, first: int, length: int, columns: Mapping[str, np.ndarray], task: int) -> None:
        frame = np.arange(length)
        indices = {"timestamp": frame / self.info.fps, "frame_index": frame, "index": first + frame}
        indices |= {"episode_index": np.full(length, number), "task_index": np.full(length, task)}
        tables.write(self.root / layout.numbered(layout.DATA, number), tables.frames(self.info.vectors, columns, indices))

    def _tell(self, rows: list[dict[str, Any]], sentences: list[str]) -> None:
        """Makes the episodes part of the data set; `info.json` is last, so it never promises what is not there."""
        tables.write(self.root / layout.TASKS, tables.tasks(sentences))
        tables.write(self.root / layout.EPISODES, tables.episodes(rows))
        layout.write_json(self.root / layout.STATS, self._statistics(rows))
        frames = int(rows[-1]["dataset_to_index"])
        self.info = replace(self.info, total_episodes=len(rows), total_frames=frames, total_tasks=len(sentences))
        layout.write_json(self.root / layout.INFO, self.info.document())
        self.rows, self.sentences = rows, sentences

    def _statistics(self, rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        names = ("min", "max", "mean", "std", "count", *statistics.QUANTILES)
        whole = {}
        for key in self.info.features:
            whole[key] = statistics.merged({name: np.array(row[f"stats/{key}/{name}"]) for name in names} for row in rows)
        return {key: {name: value.tolist() for name, value in stats.items()} for key, stats in whole.items()}

    def _resume(self) -> None:
        there = layout.read_info(self.root)
        if (there.fps, dict(there.features), dict(there.own)) != (self.info.fps, dict(self.info.features), dict(self.info.own)):
            raise XlvlaError(f"{self.root} holds a data set of other features, rate or hands: choose another folder")
        self.rows = tables.read(self.root / layout.EPISODES).to_pylist()[: there.total_episodes]
        self.sentences = tables.task_sentences(tables.read(self.root / layout.TASKS))
        self.info = there

    def _check(self, columns: Mapping[str, np.ndarray], pictures: Mapping[str, Pictures]) -> int:
        for kind, given, known in (("feature", columns, self.info.vectors), ("camera", pictures, self.info.cameras)):
            for name in given:
                if name not in known:
                    raise unknown(kind, name, known)
            missing = [name for name in known if name not in given]
            if missing:
                raise XlvlaError(f"an episode without {kind} {', '.join(missing)}: this data set has {', '.join(known)}")
        lengths = {name: len(value) for name, value in {**columns, **pictures}.items()}
        if len(set(lengths.values())) != 1 or not min(lengths.values()):
            raise XlvlaError(f"an episode needs as many frames of everything, at least one: {lengths}")
        for name, value in columns.items():
            shape = self.info.features[name].shape
            if value.shape[1:] != shape and not (shape == (1,) and value.ndim == 1):
                raise XlvlaError(f"'{name}' is {list(value.shape[1:])} per frame, this data set's is {list(shape)}")
            if not np.isfinite(value).all():
                raise XlvlaError(f"'{name}' holds a number that is not finite")
        return next(iter(lengths.values()))


def _place(what: str, number: int) -> dict[str, int]:
    return {f"{what}/chunk_index": number // layout.CHUNK, f"{what}/file_index": number % layout.CHUNK}
