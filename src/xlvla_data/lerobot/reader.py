"""Reading a data set, ours or anybody's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError, unknown
from xlvla_data.lerobot import layout, tables
from xlvla_data.lerobot.video import Clip


@dataclass(frozen=True)
class EpisodeRow:
    """Where an episode lies: its number, how many frames it has, what it was told, and every other column of its table."""

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
        self.root, self.info = root, layout.read_info(root)

    def __len__(self) -> int:
        return len(self.episodes)

    @cached_property
    def episodes(self) -> list[EpisodeRow]:
        rows = [row for file in self._pages for row in self._table(file)]
        made = [EpisodeRow(row["episode_index"], row["length"], (row["tasks"] or [""])[0], row) for row in rows]
        made = [episode for episode in made if episode.index < self.info.total_episodes]
        if len(made) != self.info.total_episodes:
            raise XlvlaError(f"{self.root} promises {self.info.total_episodes} episodes but its table has {len(made)}")
        return sorted(made, key=lambda episode: episode.index)

    def told(self, episode: EpisodeRow) -> Mapping[str, Any]:
        """Everything the table of episodes says of one, its statistics too."""
        return self._told[episode.index]

    @cached_property
    def _told(self) -> dict[int, dict[str, Any]]:
        return {row["episode_index"]: row for file in self._pages for row in tables.read(file).to_pylist()}

    @property
    def _pages(self) -> list[Path]:
        return sorted((self.root / "meta/episodes").rglob("*.parquet"))

    def columns(self, episode: EpisodeRow, *names: str) -> dict[str, np.ndarray]:
        """Columns [F, ...] of an episode by feature; all of them if none is named."""
        wanted = names or tuple(self.info.vectors)
        for name in wanted:
            if name not in {*self.info.vectors, *layout.INDICES}:
                raise unknown("feature", name, self.info.vectors)
        path = self.root / layout.DATA.format(chunk_index=episode.row["data/chunk_index"], file_index=episode.row["data/file_index"])
        table = tables.read(path, list(dict.fromkeys((*wanted, "episode_index"))))
        table = table.filter(tables.values(table, "episode_index") == episode.index)
        if len(table) != episode.length:
            raise XlvlaError(f"{path} has {len(table)} of the {episode.length} frames of episode {episode.index}")
        return {name: tables.values(table, name) for name in wanted}

    def clip(self, episode: EpisodeRow, camera: str) -> Clip:
        """The pictures of an episode, RGB uint8 [H, W, 3]."""
        if camera not in self.info.cameras:
            raise unknown("camera", camera, self.info.cameras)
        key = self.info.cameras[camera]
        place = {f"{name}_index": episode.row[f"videos/{key}/{name}_index"] for name in ("chunk", "file")}
        path = self.root / layout.VIDEO.format(video_key=key, **place)
        return Clip(path, episode.row[f"videos/{key}/from_timestamp"], episode.length)

    def _table(self, file: Path) -> list[dict[str, Any]]:
        table = tables.read(file)
        return table.select([name for name in table.column_names if not name.startswith("stats/")]).to_pylist()
