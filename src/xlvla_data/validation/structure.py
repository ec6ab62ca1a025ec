"""Whether files are there, tables say what is in them, and rows count as every reader expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from xlvla.errors import XlvlaError
from xlvla_data.lerobot import layout, tables
from xlvla_data.lerobot.reader import Dataset, EpisodeRow

LATE_S = 1e-4
"""How far a timestamp may be from frame / rate: LeRobot's reader refuses more."""


def findings(data: Dataset) -> Iterator[str]:
    """What is wrong with a data set as a whole."""
    info = data.info
    rows = data.episodes
    frames = sum(row.length for row in rows)
    if frames != info.total_frames:
        promised = f"{layout.INFO} promises {info.total_frames} frames"
        yield f"{promised}, the table of episodes has {frames}"
    yield from _sentences(data)
    for key in (layout.STATE, layout.ACTION):
        if key not in info.features:
            yield f"no feature '{key}'"
        elif not info.features[key].names:
            yield (
                f"no joint names: '{key}' does not say what its {info.features[key].shape[0]} "
                "numbers are"
            )
    if "joints" not in info.own:
        yield (
            "does not say which joints are of which hand: `xlvla data import` takes it over with a "
            "map of names"
        )
    expected = 0
    for row in rows:
        begin = row.row["dataset_from_index"]
        end = row.row["dataset_to_index"]
        if (begin, end) != (expected, expected + row.length):
            yield (
                f"episode {row.index} is said to be frames {begin} to {end}, not {expected} to "
                f"{expected + row.length}"
            )
        expected += row.length


def _sentences(data: Dataset) -> Iterator[str]:
    try:
        known = tables.task_sentences(tables.read(data.root / layout.TASKS))
    except XlvlaError as error:
        yield str(error)
        return
    if strange := sorted({row.sentence for row in data.episodes} - set(known)):
        yield f"{layout.TASKS} lacks the sentence '{strange[0]}'" + (
            f" and {len(strange) - 1} more" if strange[1:] else ""
        )


def indices(data: Dataset, row: EpisodeRow, columns: Mapping[str, np.ndarray]) -> Iterator[str]:
    """What is wrong with the columns that count frames and time."""
    frame = np.arange(row.length)
    wanted = {"frame_index": frame, "index": row.row["dataset_from_index"] + frame}
    for key, expected in wanted.items():
        if (wrong := np.flatnonzero(columns[key] != expected)).size:
            first = int(wrong[0])
            yield (
                f"{key} is {columns[key][first]} at frame {first}, not {expected[first]}, in "
                f"{len(wrong)} frames"
            )
    late = np.abs(columns["timestamp"] - frame / data.info.fps)
    if (wrong := np.flatnonzero(late > LATE_S)).size:
        yield (
            f"timestamp is {late[wrong[0]]:.4f} s from frame / rate at frame {wrong[0]}, in "
            f"{len(wrong)} frames"
        )
    if len(set(columns["task_index"])) > 1 or not 0 <= columns["task_index"][0] < max(
        1, data.info.total_tasks
    ):
        yield (
            f"task_index is {sorted(set(columns['task_index'].tolist()))}, of "
            f"{data.info.total_tasks} sentences"
        )
