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
    """A LeRobot v3.0 data set on disk.

    Raises:
        XlvlaError: there is none, of this version, or it is incomplete.
    """

    def __init__(self, root: Path):
        self.root = root
        self.info = layout.read_info(root)
        # Of videos, which may hold many episodes: times of their pictures, and half a period
        self._times: dict[Path, tuple[np.ndarray, float]] = {}

    def __len__(self) -> int:
        return len(self.episodes)

    @cached_property
    def episodes(self) -> list[EpisodeRow]:
        """The episodes that `info.json` counts, in the order of their numbers."""
        episodes: list[EpisodeRow] = []
        for page in self._pages:
            for row in self._table(page):
                index = row["episode_index"]
                episode = EpisodeRow(index, row["length"], self._sentence(row), row)
                # A writer that was interrupted may have left a further row
                if index < self.info.total_episodes:
                    episodes.append(episode)
        if len(episodes) != self.info.total_episodes:
            raise XlvlaError(
                f"{self.root} promises {self.info.total_episodes} episodes but its table has "
                f"{len(episodes)}"
            )
        return sorted(episodes, key=lambda episode: episode.index)

    def table_row(self, episode: EpisodeRow) -> Mapping[str, Any]:
        """All columns of the table of episodes for one, its statistics too."""
        return self._table_rows[episode.index]

    @cached_property
    def _table_rows(self) -> dict[int, dict[str, Any]]:
        rows: dict[int, dict[str, Any]] = {}
        for page in self._pages:
            for row in tables.read(page).to_pylist():
                rows[row["episode_index"]] = row
        return rows

    @property
    def _pages(self) -> list[Path]:
        """The files of the table of episodes."""
        return sorted((self.root / "meta/episodes").rglob("*.parquet"))

    def columns(self, episode: EpisodeRow, *names: str) -> dict[str, np.ndarray]:
        """Columns [F, ...] of an episode by feature; all of them if none is named."""
        wanted = names or tuple(self.info.vectors)
        known = {*self.info.vectors, *layout.INDICES}
        for name in wanted:
            if name not in known:
                raise unknown("feature", name, self.info.vectors)
        path = self.root / layout.DATA.format(
            chunk_index=episode.row["data/chunk_index"], file_index=episode.row["data/file_index"]
        )
        # Files of other writers hold several episodes
        read = list(dict.fromkeys((*wanted, "episode_index")))
        table = tables.read(path, read)
        table = table.filter(tables.values(table, "episode_index") == episode.index)
        if len(table) != episode.length:
            raise XlvlaError(
                f"{path} has {len(table)} of the {episode.length} frames of episode {episode.index}"
            )
        return {name: tables.values(table, name) for name in wanted}

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

    def _sentence(self, row: Mapping[str, Any]) -> str:
        """An episode's instruction: of the table of episodes, else of its first frame."""
        sentences = row.get("tasks")
        if sentences:
            return sentences[0]
        if self._tasks is None:
            return ""
        episode = EpisodeRow(row["episode_index"], row["length"], "", row)
        return self.sentences(episode)[0]

    def shots(self, episode: EpisodeRow, camera: str) -> tuple[np.ndarray, Clip]:
        """A camera's pictures by their own time: when each was taken [N] s from the episode's
        beginning, and the pictures.
        """
        clip = self.clip(episode, camera)
        if clip.path not in self._times:
            self._times[clip.path] = video.times(clip.path)
        stamps_s, half_s = self._times[clip.path]
        end_s = episode.row.get(f"videos/{self.info.cameras[camera]}/to_timestamp")
        if not end_s:
            end_s = clip.start_s + episode.length / self.info.fps
        # Times are rounded: half a period before the first picture there is none of this episode
        within = (stamps_s >= clip.start_s - half_s) & (stamps_s < end_s - half_s)
        stamps_s = stamps_s[within] - clip.start_s
        return stamps_s, replace(clip, frames=len(stamps_s))

    def clip(self, episode: EpisodeRow, camera: str) -> Clip:
        """The pictures of an episode, RGB uint8 [H, W, 3]."""
        if camera not in self.info.cameras:
            raise unknown("camera", camera, self.info.cameras)
        key = self.info.cameras[camera]
        path = self.root / layout.VIDEO.format(
            video_key=key,
            chunk_index=episode.row[f"videos/{key}/chunk_index"],
            file_index=episode.row[f"videos/{key}/file_index"],
        )
        return Clip(path, episode.row[f"videos/{key}/from_timestamp"], episode.length)

    def _table(self, file: Path) -> list[dict[str, Any]]:
        """Rows of a file of the table of episodes, without the statistics, which are large."""
        table = tables.read(file)
        columns = [name for name in table.column_names if not name.startswith("stats/")]
        return table.select(columns).to_pylist()
