"""The parquet files of a data set, the way LeRobot's readers expect their columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xlvla.errors import XlvlaError
from xlvla.files import replacing
from xlvla_data.lerobot import layout
from xlvla_data.lerobot.layout import Feature

_TYPES = {
    "float32": pa.float32(),
    "float64": pa.float64(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
    "string": pa.string(),
}
_FACTS = {
    "success": pa.bool_(),
    "verdict": pa.string(),
    "session": pa.string(),
    "recording": pa.string(),
    "source": pa.string(),
    "hands": pa.string(),
}
"""Columns of the table of episodes that may be empty, so that their type does not show."""


def write(path: Path, table: pa.Table) -> None:
    """Writes a parquet file atomically."""
    with replacing(path) as fresh:
        pq.write_table(table, fresh, compression="snappy", use_dictionary=True)


def read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A parquet file; raises XlvlaError where it is missing, cut short or lacks a column."""
    names = None if columns is None else list(columns)
    try:
        return pq.read_table(path, columns=names)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise XlvlaError(f"{path} cannot be read: {reason}") from None


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
    """A column as an array [F, ...]."""
    column = table[key].combine_chunks()
    if pa.types.is_fixed_size_list(column.type) or pa.types.is_list(column.type):
        numbers = column.flatten().to_numpy(zero_copy_only=False)
        return numbers.reshape(len(column), -1)
    return column.to_numpy(zero_copy_only=False)


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
    """The sentences by their indices; raises XlvlaError where a column is missing."""
    # pandas' name of an index that has none
    name = "task" if "task" in table.column_names else "__index_level_0__"
    missing = {"task_index", name} - set(table.column_names)
    if missing:
        raise XlvlaError(
            f"the table of tasks has no column {', '.join(sorted(missing))}: it has "
            f"{', '.join(table.column_names)}"
        )
    indices = table["task_index"].to_pylist()
    sentences = table[name].to_pylist()
    return dict(zip(indices, sentences, strict=True))


def episodes(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """One row per episode; statistics are lists, nested as deep as a picture's [3, 1, 1]. Columns
    that a row does not have are null.
    """
    keys: dict[str, None] = {}
    for row in rows:
        keys |= dict.fromkeys(row)
    columns: dict[str, pa.Array] = {}
    for key in keys:
        entries = [row.get(key) for row in rows]
        columns[key] = pa.array(entries, _FACTS.get(key))
    return pa.table(columns)


def _column(feature: Feature, rows: np.ndarray) -> pa.Array:
    """A feature's numbers [F, ...]: scalars, or lists of a fixed size."""
    kind = _TYPES[feature.dtype]
    rows = rows.reshape(len(rows), -1).astype(feature.dtype)
    if feature.shape in ((1,), ()):
        return pa.array(rows[:, 0], kind)
    numbers = pa.array(rows.reshape(-1), kind)
    return pa.FixedSizeListArray.from_arrays(numbers, rows.shape[1])
