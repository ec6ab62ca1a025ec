"""Lines that refuse something, from the places in the code that raise them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tables import code, table

PAGE = "reference/errors.md"
SOURCE = Path(__file__).parents[2] / "src"

INTRODUCTION = """# Error lines

A mistake ends a command with one line that names what was asked, what is known and what to do; the
exit code is 2. A rig with several faults prints one line for each. A traceback is a bug: please
report it.

Search this page for a few words of a line. `{name}` and `...` stand for what was given and for
what is known.
"""

RAISED = {"XlvlaError", "LinkLost"}

ROOMS = {
    "xlvla": "Rigs, catalogue, codec, graph",
    "xlvla_cli": "Command line",
    "xlvla_drivers": "Devices, motion, teleoperation",
    "xlvla_sim": "Simulation",
    "xlvla_data": "Recordings and data sets",
    "xlvla_policy": "Policies and training",
}

FEWEST_WORDS = 3
"""A line of fewer fixed words is made elsewhere and only passed on."""


def pages() -> dict[str, str]:
    """The page by path."""
    parts = [INTRODUCTION]
    for room, title in ROOMS.items():
        found = sorted(set(_lines(SOURCE / room)), key=_alphabetical)
        rows = [(_escaped(line), code(where)) for line, where in found]
        parts += [f"## {title}", table(("line", "raised in"), rows)]
    return {PAGE: "\n\n".join(parts)}


def _lines(folder: Path) -> Iterator[tuple[str, str]]:
    """Every line of a package, with the file that raises it."""
    for path in folder.rglob("*.py"):
        for message in _messages(ast.parse(path.read_text())):
            line = _text(message)
            if len(_fixed_words(line).split()) >= FEWEST_WORDS:
                yield line, str(path.relative_to(SOURCE))


def _messages(module: ast.Module) -> Iterator[ast.expr]:
    """What the errors of a module are made with."""
    for node in ast.walk(module):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        if node.func.id in RAISED and node.args:
            yield node.args[0]


def _text(node: ast.expr) -> str:
    """The text of a string or an f-string, with the names of the values in it."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(value) for value in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value) if isinstance(node.value, ast.Name | ast.Attribute) else "..."
    if isinstance(node, ast.Name):
        return f"{{{node.id}}}"
    if isinstance(node, ast.Attribute):
        return f"{{{node.attr}}}"
    return "..."


def _alphabetical(entry: tuple[str, str]) -> str:
    return _fixed_words(entry[0]).casefold()


def _fixed_words(line: str) -> str:
    """The words of a line that are the same for every value, from its first letter on."""
    return re.sub(r"\{\w+\}|\.\.\.", "", line).lstrip(" '`:-")


def _escaped(line: str) -> str:
    """A line as Markdown shows it letter by letter."""
    for character in "\\`*_[]{}":
        line = line.replace(character, f"\\{character}")
    return line.replace("<", "&lt;").replace(">", "&gt;")
