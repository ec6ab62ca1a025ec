"""What benches do with their figures: a JSON file, and the cells of a table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def save(out: Path | None, figures: object, *, indent: int = 2) -> None:
    """Writes figures as JSON; nothing where no file is wanted."""
    if out is None:
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(figures, indent=indent) + "\n")


def spread_cells(spread: Mapping[str, float] | None) -> list[str]:
    """Median, 99th percentile, largest and count of `measure.spread`, as they are shown."""
    if spread is None:
        return ["-"] * 4
    quantiles = [f"{spread[name]:.2f}" for name in ("p50", "p99", "max")]
    return [*quantiles, str(spread["count"])]


def milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1e3 * seconds:.0f} ms"
