"""The parquet files of a data set, the way LeRobot's readers expect their columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xlvla.errors import XlvlaError
from xlvla.files import replacing
from xlvla.text import plain
from xlvla_data.lerobot import layout
from xlvla_data.lerobot.layout import Feature

_TYPES = {name: pa.type_for_alias(name) for name in layout.NUMBERS}
_FACTS = {
    "success": pa.bool_(),
    "verdict": pa.string(),
    "session": pa.string(),
    "recording": pa.string(),
    "source": pa.string(),
    "hands": pa.string(),
    layout.SHARED: pa.bool_(),
}
"""Columns of the table of episodes that may be empty, so that their type does not show."""


def write(path: Path, table: pa.Table) -> None:
    """Writes a parquet file atomically, with checksums: a flipped bit would be another number."""
    with replacing(path) as fresh:
        pq.write_table(
            table, fresh, compression="snappy", use_dictionary=True, write_page_checksum=True
        )


def read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A parquet file; raises XlvlaError where it is missing, cut short, lacks a column or differs
    from its checksums, where it has some.
    """
    return _read(path, columns)


def of_episode(path: Path, columns: Sequence[str], index: int) -> pa.Table:
    """The rows of an episode, of which files of other writers hold several; raises what `read`
    raises.
    """
    return _read(path, columns, [("episode_index", "==", index)])


def _read(path: Path, columns: Sequence[str] | None, filters: Any = None) -> pa.Table:
    names = None if columns is None else list(columns)
    try:
        table: pa.Table = pq.read_table(
            path, columns=names, filters=filters, page_checksum_verification=True
        )
        # Names that are no text are found where they are asked for, not where they are read.
        list(table.column_names)
        return table
    except (OSError, ValueError, KeyError, MemoryError, pa.ArrowException) as error:
        # Some messages of the library end in several lines, some are empty
        lines = str(error).splitlines() or [type(error).__name__]
        raise XlvlaError(f"{path} cannot be read: {plain(lines[0], 200)}") from None


def frames(
    features: Mapping[str, Feature],
    columns: Mapping[str, np.ndarray],
    indices: Mapping[str, np.ndarray],
) -> pa.Table:
    """One row per frame; numbers become scalars, vectors fixed-size lists."""
    arrays: dict[str, pa.Array] = {}
    for key, feature in features.items():
        arrays[key] = _column(feature, columns[key])
    for key, dtype in layout.INDICES.items():
        arrays[key] = pa.array(indices[key].astype(dtype), _TYPES[dtype])
    return pa.table(arrays)


def values(table: pa.Table, key: str) -> np.ndarray:
    """A column as an array [F, ...]; raises XlvlaError where it holds no numbers, or not the same
    count in every row.
    """
    numbers = table[key].combine_chunks()
    if isinstance(numbers, pa.ExtensionArray):
        numbers = numbers.storage
    nested = False
    while pa.types.is_nested(numbers.type):
        nested = True
        numbers = _flattened(key, numbers)
    kind = numbers.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise XlvlaError(f"'{key}' holds {kind}, no numbers")
    array = numbers.to_numpy(zero_copy_only=False)
    return array.reshape(len(table), -1) if nested and len(table) else array


def _flattened(key: str, rows: pa.Array) -> pa.Array:
    """What lists of one length hold, on end."""
    kind = rows.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not is_list and not pa.types.is_fixed_size_list(kind):
        raise XlvlaError(f"'{key}' holds {plain(kind, 80)}, no numbers")
    lengths = pc.call_function("list_value_length", [rows]).unique()
    if lengths.null_count or len(lengths) > 1:
        raise XlvlaError(f"'{key}' does not have the same count of numbers in every row")
    return rows.flatten()


def tasks(sentences: Sequence[str]) -> pa.Table:
    """The sentences; a pandas index, because LeRobot looks them up by it."""
    indices = pa.array(range(len(sentences)), pa.int64())
    table = pa.table({"task_index": indices, "task": pa.array(sentences, pa.string())})
    columns = [
        {
            "name": "task_index",
            "field_name": "task_index",
            "pandas_type": "int64",
            "numpy_type": "int64",
            "metadata": None,
        },
        {
            "name": "task",
            "field_name": "task",
            "pandas_type": "unicode",
            "numpy_type": "object",
            "metadata": None,
        },
    ]
    index = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": columns,
        "pandas_version": "2.0.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(index)})


def task_sentences(table: pa.Table) -> list[str]:
    """The sentences in the order of their indices."""
    return [sentence for _, sentence in sorted(tasks_by_index(table).items())]


def tasks_by_index(table: pa.Table) -> dict[int, str]:
    """The sentences by their indices; raises XlvlaError where a column is missing or of another
    type.
    """
    # pandas' name of an index that has none
    name = "task" if "task" in table.column_names else "__index_level_0__"
    missing = {"task_index", name} - set(table.column_names)
    if missing:
        raise XlvlaError(
            f"the table of tasks has no column {', '.join(sorted(missing))}: it has "
            f"{plain(', '.join(table.column_names), 200)}"
        )
    sentences: dict[int, str] = {}
    for index, sentence in zip(entries(table, "task_index"), entries(table, name), strict=True):
        if type(index) is not int or not isinstance(sentence, str):
            raise XlvlaError(
                f"the table of tasks says that {plain(repr(index), 40)} is "
                f"{plain(repr(sentence), 80)}: a number and a sentence are wanted"
            )
        sentences[index] = sentence
    return sentences


def dictionaries(table: pa.Table, path: Path) -> list[dict[str, Any]]:
    """The rows of a table by its columns' names; raises XlvlaError where they cannot be read."""
    try:
        return table.to_pylist()
    except (ValueError, OverflowError, pa.ArrowException) as error:
        raise XlvlaError(f"{path} cannot be read: {plain(error, 120)}") from None


def entries(table: pa.Table, key: str) -> list[Any]:
    """A column as Python's values; raises XlvlaError where they are none, as damaged text."""
    try:
        return table[key].to_pylist()
    except (ValueError, OverflowError, pa.ArrowException) as error:
        raise XlvlaError(f"'{plain(key, 80)}' cannot be read: {plain(error, 120)}") from None


def episodes(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """One row per episode; statistics are lists, nested as deep as a picture's [3, 1, 1]. Columns
    that a row does not have are null.
    """
    keys: dict[str, None] = {}
    for row in rows:
        keys |= dict.fromkeys(row)
    columns: dict[str, pa.Array] = {}
    for key in keys:
        given = [row.get(key) for row in rows]
        try:
            columns[key] = pa.array(given, _FACTS.get(key))
        except pa.ArrowException as error:
            raise XlvlaError(
                f"episodes differ in what '{plain(key, 80)}' is: {plain(error, 120)}"
            ) from None
    return pa.table(columns)


def _column(feature: Feature, rows: np.ndarray) -> pa.Array:
    """A feature's numbers [F, ...]: scalars, lists of a fixed size, or lists of lists."""
    kind = _TYPES[feature.dtype]
    rows = rows.reshape(len(rows), -1).astype(feature.dtype)
    if feature.shape in ((1,), ()):
        return pa.array(rows[:, 0], kind)
    numbers = pa.array(rows.reshape(-1), kind)
    if len(feature.shape) == 1:
        return pa.FixedSizeListArray.from_arrays(numbers, rows.shape[1])
    # LeRobot's readers want a grid as lists of lists, of no fixed size
    for size in reversed(feature.shape):
        offsets = np.arange(0, len(numbers) + 1, size, dtype=np.int32)
        numbers = pa.ListArray.from_arrays(offsets, numbers)
    return numbers
