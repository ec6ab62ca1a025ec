"""Tables in the manner of all that the command line shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

if TYPE_CHECKING:
    from rich.table import Table

Row = TypeVar("Row")
Columns: TypeAlias = Sequence[tuple[str, Callable[[Row], str]]]
"""Headings, and how a row reads in each column."""


def table(title: str, *columns: str) -> Table:
    """An empty table in the manner of all that the command line shows."""
    from rich import box
    from rich.table import Table

    empty = Table(
        *columns, title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD
    )
    for column in empty.columns:
        column.overflow = "fold"
    empty.columns[0].no_wrap = True
    empty.columns[0].style = "cyan"
    return empty


def table_of(title: str, columns: Columns[Row], rows: Iterable[Row]) -> Table:
    """A table with a line per row."""
    filled = table(title, *(heading for heading, _ in columns))
    for row in rows:
        filled.add_row(*(cell(row) for _, cell in columns))
    return filled


def counted(number: int, noun: str) -> str:
    """`1 view`, `3 views`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
