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
    **dict.fromkeys(("verdict", "session", "recording", "source", "hands"), pa.string()),
}
"""Columns of the table of episodes that may hold nothing at all."""


def write(path: Path, table: pa.Table) -> None:
    """Writes a parquet file atomically."""
    with replacing(path) as fresh:
        pq.write_table(table, fresh, compression="snappy", use_dictionary=True)


def read(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """A parquet file; raises XlvlaError where it is missing, cut short or lacks a column."""
    try:
        return pq.read_table(path, columns=None if columns is None else list(columns))
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise XlvlaError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None


def frames(
    features: Mapping[str, Feature],
    columns: Mapping[str, np.ndarray],
    indices: Mapping[str, np.ndarray],
) -> pa.Table:
    """One row per frame; numbers become scalars, vectors fixed-size lists."""
    arrays = {key: _column(feature, columns[key]) for key, feature in features.items()}
    arrays |= {
        key: pa.array(indices[key].astype(dtype), _TYPES[dtype])
        for key, dtype in layout.INDICES.items()
    }
    return pa.table(arrays)


def values(table: pa.Table, key: str) -> np.ndarray:
    """A column as an array [F, ...]."""
    column = table[key].combine_chunks()
    if pa.types.is_fixed_size_list(column.type) or pa.types.is_list(column.type):
        return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
    return column.to_numpy(zero_copy_only=False)


def tasks(sentences: Sequence[str]) -> pa.Table:
    """The sentences; a pandas index, because LeRobot looks them up by it."""
    table = pa.table(
        {
            "task_index": pa.array(range(len(sentences)), pa.int64()),
            "task": pa.array(sentences, pa.string()),
        }
    )
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
    about = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": columns,
        "pandas_version": "2.0.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(about)})


def task_sentences(table: pa.Table) -> list[str]:
    """The sentences in the order of their indices."""
    return [sentence for _, sentence in sorted(tasks_by_index(table).items())]


def tasks_by_index(table: pa.Table) -> dict[int, str]:
    name = "task" if "task" in table.column_names else "__index_level_0__"
    if missing := {"task_index", name} - set(table.column_names):
        raise XlvlaError(
            f"the table of tasks has no column {', '.join(sorted(missing))}: it has "
            f"{', '.join(table.column_names)}"
        )
    return dict(zip(table["task_index"].to_pylist(), table[name].to_pylist(), strict=True))


def episodes(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """One row per episode; statistics are lists, nested as deep as a picture's [3, 1, 1]. What a
    row does not say is null.
    """
    keys = dict.fromkeys(key for row in rows for key in row)
    return pa.table(
        {key: pa.array([row.get(key) for row in rows], _FACTS.get(key)) for key in keys}
    )


def _column(feature: Feature, given: np.ndarray) -> pa.Array:
    kind = _TYPES[feature.dtype]
    given = given.reshape(len(given), -1).astype(feature.dtype)
    if feature.shape in ((1,), ()):
        return pa.array(given[:, 0], kind)
    return pa.FixedSizeListArray.from_arrays(pa.array(given.reshape(-1), kind), given.shape[1])
