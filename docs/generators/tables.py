"""Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; `|` and line breaks in a cell are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def code(text: object) -> str:
    """`text` as code, or nothing where it is empty."""
    return f"`{text}`" if str(text) else ""


def _cell(text: str) -> str:
    return " ".join(str(text).replace("|", "\\|").split())
