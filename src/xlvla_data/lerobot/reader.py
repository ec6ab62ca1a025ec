"""Reading a LeRobot data set, written by xlvla or not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError, unknown
from xlvla_data.lerobot import layout, tables, video
from xlvla_data.lerobot.video import Clip


@dataclass(frozen=True)
class EpisodeRow:
    """Where an episode lies: its number, how many frames it has, what it was told, and every other
    column of its table.
    """

    index: int
    length: int
    sentence: str
    row: Mapping[str, Any]


class Dataset:
    """A LeRobot v3.0 data set on disk.

    Raises:
        XlvlaError: there is none, of this version, or it is incomplete.
    """

    def __init__(self, root: Path):
        self.root = root
        self.info = layout.read_info(root)

    def __len__(self) -> int:
        return len(self.episodes)

    @cached_property
    def episodes(self) -> list[EpisodeRow]:
        rows = [row for file in self._pages for row in self._table(file)]
        made = [
            EpisodeRow(row["episode_index"], row["length"], self._sentence(row), row)
            for row in rows
        ]
        made = [episode for episode in made if episode.index < self.info.total_episodes]
        if len(made) != self.info.total_episodes:
            raise XlvlaError(
                f"{self.root} promises {self.info.total_episodes} episodes but its table has "
                f"{len(made)}"
            )
        return sorted(made, key=lambda episode: episode.index)

    def table_row(self, episode: EpisodeRow) -> Mapping[str, Any]:
        """Everything the table of episodes says of one, its statistics too."""
        return self._table_rows[episode.index]

    @cached_property
    def _table_rows(self) -> dict[int, dict[str, Any]]:
        return {
            row["episode_index"]: row
            for file in self._pages
            for row in tables.read(file).to_pylist()
        }

    @property
    def _pages(self) -> list[Path]:
        return sorted((self.root / "meta/episodes").rglob("*.parquet"))

    def columns(self, episode: EpisodeRow, *names: str) -> dict[str, np.ndarray]:
        """Columns [F, ...] of an episode by feature; all of them if none is named."""
        wanted = names or tuple(self.info.vectors)
        for name in wanted:
            if name not in {*self.info.vectors, *layout.INDICES}:
                raise unknown("feature", name, self.info.vectors)
        path = self.root / layout.DATA.format(
            chunk_index=episode.row["data/chunk_index"], file_index=episode.row["data/file_index"]
        )
        table = tables.read(path, list(dict.fromkeys((*wanted, "episode_index"))))
        table = table.filter(tables.values(table, "episode_index") == episode.index)
        if len(table) != episode.length:
            raise XlvlaError(
                f"{path} has {len(table)} of the {episode.length} frames of episode {episode.index}"
            )
        return {name: tables.values(table, name) for name in wanted}

    def sentences(self, episode: EpisodeRow) -> list[str]:
        """What was told at every frame [F], by the columns and the table of tasks."""
        indices = self.columns(episode, "task_index")["task_index"]
        if (known := self._tasks) is None:
            return [episode.sentence] * episode.length
        if strange := sorted(set(indices.tolist()) - set(known)):
            raise XlvlaError(
                f"{self.root}: task_index is {strange[0]}, {layout.TASKS} has "
                f"{', '.join(map(str, known)) or 'none'}"
            )
        return [known[index] for index in indices.tolist()]

    @cached_property
    def _tasks(self) -> dict[int, str] | None:
        """The sentences by their index; None where there is no table of them."""
        path = self.root / layout.TASKS
        return tables.tasks_by_index(tables.read(path)) if path.is_file() else None

    def _sentence(self, row: Mapping[str, Any]) -> str:
        """What an episode was told, at its first frame where the table of episodes does not say."""
        if sentences := row.get("tasks"):
            return sentences[0]
        if self._tasks is None:
            return ""
        return self.sentences(EpisodeRow(row["episode_index"], row["length"], "", row))[0]

    def shots(self, episode: EpisodeRow, camera: str) -> tuple[np.ndarray, Clip]:
        """A camera's pictures by their own time: when each was taken [N] s from the episode's
        beginning, and the pictures.
        """
        clip = self.clip(episode, camera)
        if clip.path not in self._times:
            self._times[clip.path] = video.times(clip.path)
        stamps, half = self._times[clip.path]
        end_s = (
            episode.row.get(f"videos/{self.info.cameras[camera]}/to_timestamp")
            or clip.start_s + episode.length / self.info.fps
        )
        stamps = stamps[(stamps >= clip.start_s - half) & (stamps < end_s - half)] - clip.start_s
        return stamps, replace(clip, frames=len(stamps))

    @cached_property
    def _times(self) -> dict[Path, tuple[np.ndarray, float]]:
        return {}

    def clip(self, episode: EpisodeRow, camera: str) -> Clip:
        """The pictures of an episode, RGB uint8 [H, W, 3]."""
        if camera not in self.info.cameras:
            raise unknown("camera", camera, self.info.cameras)
        key = self.info.cameras[camera]
        place = {
            f"{name}_index": episode.row[f"videos/{key}/{name}_index"] for name in ("chunk", "file")
        }
        path = self.root / layout.VIDEO.format(video_key=key, **place)
        return Clip(path, episode.row[f"videos/{key}/from_timestamp"], episode.length)

    def _table(self, file: Path) -> list[dict[str, Any]]:
        table = tables.read(file)
        return table.select(
            [name for name in table.column_names if not name.startswith("stats/")]
        ).to_pylist()
