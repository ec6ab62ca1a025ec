"""Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; `|` and line breaks in a cell are escaped."""
    separator = ["---"] * len(head)
    lines = [_line(row) for row in (head, separator, *rows)]
    return "\n".join(lines) + "\n"


def code(text: object) -> str:
    """`text` as code, or nothing where it is empty."""
    return f"`{text}`" if str(text) else ""


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
