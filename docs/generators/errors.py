"""Lines that refuse something, from the places in the code that raise them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tables import table

PAGE = "reference/errors.md"
SOURCE = Path(__file__).parents[2] / "src"

RAISED = {"XlvlaError", "LinkLost"}

ROOMS = {
    "xlvla": "Rigs, catalogue, codec, graph",
    "xlvla_cli": "Command line",
    "xlvla_drivers": "Devices, motion, teleoperation",
    "xlvla_sim": "Simulation",
    "xlvla_data": "Recordings and data sets",
    "xlvla_policy": "Policies and training",
}


def pages() -> dict[str, str]:
    """The page by path."""
    lines = [
        "# Error lines",
        "",
        "A mistake ends a command with one line that names what was asked, what is known and what to do; the exit code is 2.",
        "A rig with several faults prints one line for each. A traceback is a bug: please report it.",
        "",
        "Search this page for a few words of a line. `{name}` and `...` stand for what was given and what is known.",
        "",
    ]
    for room, title in ROOMS.items():
        found = sorted(set(_lines(SOURCE / room)), key=lambda entry: _without_values(entry[0]).casefold())
        if found:
            rows = [(line, f"`{where}`") for line, where in found]
            lines += [f"## {title}", "", table(("line", "raised in"), rows)]
    return {PAGE: "\n".join(lines)}


def _lines(folder: Path) -> Iterator[tuple[str, str]]:
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISED and node.args:
                line = _text(node.args[0])
                if len(_without_values(line).split()) > 2:
                    yield _escaped(line), str(path.relative_to(SOURCE))


def _text(node: ast.expr) -> str:
    """The text of a string or an f-string, `...` for every value in it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value) for value in node.values)
    inner = node.value if isinstance(node, ast.FormattedValue) else node
    if isinstance(inner, ast.Name):
        return f"{{{inner.id}}}"
    return f"{{{inner.attr}}}" if isinstance(inner, ast.Attribute) else "..."


def _without_values(line: str) -> str:
    """The words of a line that are the same for every value, from its first letter on."""
    return re.sub(r"\{\w+\}|\.\.\.", "", line).lstrip(" '`:-\\")


def _escaped(line: str) -> str:
    for character in "\\`*_[]{}":
        line = line.replace(character, f"\\{character}")
    return line.replace("<", "&lt;").replace(">", "&gt;")
