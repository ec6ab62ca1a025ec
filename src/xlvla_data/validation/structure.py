"""Whether files are there, tables agree with them, and rows count as every reader expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.text import plain
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
        if key not in info.vectors:
            yield f"no feature '{key}'"
        elif not info.features[key].names:
            yield (
                f"no joint names: '{key}' does not say what its {info.features[key].size} "
                "numbers are"
            )
    if "joints" not in info.own:
        yield (
            "does not say which joints are of which hand: `xlvla data import` takes it over with a "
            "map of names"
        )
    expected = 0
    for row in rows:
        begin = row.row.get("dataset_from_index")
        end = row.row.get("dataset_to_index")
        if (begin, end) != (expected, expected + row.length):
            yield (
                f"episode {row.index} is said to be frames {begin} to {end}, not {expected} to "
                f"{expected + row.length}"
            )
        expected += row.length


def _sentences(data: Dataset) -> Iterator[str]:
    """Whether the table of tasks has the sentences of the episodes."""
    try:
        known = tables.task_sentences(tables.read(data.root / layout.TASKS))
    except XlvlaError as error:
        yield str(error)
        return
    strange = sorted({row.sentence for row in data.episodes} - set(known))
    if not strange:
        return
    line = f"{layout.TASKS} lacks the sentence '{strange[0]}'"
    others = len(strange) - 1
    yield f"{line} and {others} more" if others else line


def indices(data: Dataset, row: EpisodeRow, columns: Mapping[str, np.ndarray]) -> Iterator[str]:
    """What is wrong with the columns that count frames and time."""
    frame = np.arange(row.length)
    wanted = {"frame_index": frame}
    first_index = row.row.get("dataset_from_index")
    # Where it is none, that was found before
    if isinstance(first_index, int):
        wanted["index"] = first_index + frame
    for key, expected in wanted.items():
        wrong = np.flatnonzero(columns[key] != expected)
        if wrong.size:
            first = int(wrong[0])
            yield (
                f"{key} is {columns[key][first]} at frame {first}, not {expected[first]}, in "
                f"{len(wrong)} frames"
            )
    error_s = np.abs(columns["timestamp"] - frame / data.info.fps)
    wrong = np.flatnonzero(error_s > LATE_S)
    if wrong.size:
        first = wrong[0]
        yield (
            f"timestamp is {error_s[first]:.4f} s from frame / rate at frame {first}, in "
            f"{len(wrong)} frames"
        )
    try:
        told = list(dict.fromkeys(data.sentences(row)))
    except XlvlaError as error:
        yield str(error)
        return
    listed = row.row.get("tasks") or [row.sentence]
    # LeRobot's reader takes the sentence by its index, other readers that of the table of episodes
    if set(told) != set(listed):
        yield (
            f"is told {plain(repr(told), 120)} by task_index, "
            f"{plain(repr(listed), 120)} by the table of episodes"
        )
