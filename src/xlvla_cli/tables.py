"""Tables in the manner of all that the command line shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


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
