"""The rig file, from the dataclasses it is loaded into."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from tables import code, table
from xlvla import catalog
from xlvla.rig import Rig
from xlvla.rig_file import load

PAGE = "reference/rig.md"

INTRODUCTION = """# Rig files

A rig is one YAML file. It is read strictly: an unknown key, a wrong type or an impossible value is
a fault, and `xlvla check FILE` prints all faults at once. A file may say `like: NAME`; it then
holds only what differs from that rig. [Write a rig](../howto/rig.md) shows how to begin.
"""

PLACEHOLDERS = {"sides": "SIDE", "workspace": "SIDE", "cameras": "CAMERA", "calibration": "JOINT"}
"""What stands for the keys of a mapping, by the mapping's own key."""

SCALARS = {
    str: "text",
    float: "number",
    int: "integer",
    bool: "true or false",
    Any: "anything",
}
"""Types as a reader of YAML knows them."""

_ENTRY = re.compile(r"^    (?P<names>[\w, ]+): (?P<text>.*)$")


def pages() -> dict[str, str]:
    """The page by path."""
    sections = [_section(kind, where) for kind, where in _sections().items()]
    return {PAGE: "\n\n".join([INTRODUCTION, *sections, "## Shipped rigs", _shipped()])}


def _shipped() -> str:
    rows = [(code(name), load(name).description) for name in catalog.rigs()]
    return table(("name", "description"), rows)


def _sections() -> dict[type, str]:
    """Every dataclass of a rig with its place in the file, parents before children, each once."""
    found: dict[type, str] = {Rig: ""}
    waiting = [Rig]
    while waiting:
        kind = waiting.pop(0)
        for place, inner in _nested(kind):
            if inner not in found:
                found[inner] = f"{found[kind]}.{place}".lstrip(".")
                waiting.append(inner)
    return found


def _nested(kind: type) -> list[tuple[str, type]]:
    """The dataclasses among a dataclass's fields, with where they stand below it."""
    nested = []
    for name, hint in get_type_hints(kind).items():
        inner = _without_null(hint)
        place = name
        if _is_mapping(inner):
            inner = _without_null(get_args(inner)[1])
            place = f"{name}.{PLACEHOLDERS.get(name, 'NAME')}"
        if dataclasses.is_dataclass(inner):
            nested.append((place, inner))
    return nested


def _without_null(hint: Any) -> Any:
    """The type of `T | None`; any other type as it is."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    return next(argument for argument in get_args(hint) if argument is not type(None))


def _section(kind: type, where: str) -> str:
    title = code(where) or "The file"
    heading = f"## {title} {{ #{_anchor(kind)} }}"
    return "\n\n".join([heading, summary(kind), fields_table(kind)])


def summary(kind: type) -> str:
    """The docstring of a dataclass up to its list of fields."""
    text = inspect.getdoc(kind) or ""
    return text.partition("\n\nArgs:")[0]


def fields_table(kind: type) -> str:
    """Key, type, default and meaning of every field of a dataclass."""
    meanings = _meanings(kind)
    hints = get_type_hints(kind, include_extras=True)
    rows = []
    for field in dataclasses.fields(kind):
        row = [code(field.name), _type(hints[field.name]), _default(field)]
        if meanings:
            row.append(meanings.get(field.name, ""))
        rows.append(row)
    head = ("key", "type", "default", "meaning") if meanings else ("key", "type", "default")
    return table(head, rows)


def _meanings(kind: type) -> dict[str, str]:
    """What the docstring's `Args:` say, by field; one entry may name several."""
    entries = (inspect.getdoc(kind) or "").partition("Args:\n")[2]
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in entries.splitlines():
        entry = _ENTRY.match(line)
        if entry:
            names = [name.strip() for name in entry["names"].split(",")]
            meanings.update(dict.fromkeys(names, entry["text"]))
        elif line.strip():
            for name in names:
                meanings[name] += " " + line.strip()
    return meanings


def _type(hint: Any) -> str:
    """A type as a reader of YAML knows it, with the range of a number; dataclasses of a rig link
    to their section.
    """
    origin = get_origin(hint)
    arguments = get_args(hint)
    if origin is Annotated:
        return f"{_type(arguments[0])} {arguments[1]}"
    if origin in (Union, types.UnionType):
        return f"{_type(_without_null(hint))} or null"
    if origin is Literal:
        return ", ".join(code(argument) for argument in arguments)
    if origin is tuple and ... not in arguments:
        numbers = f"{len(arguments)} numbers"
        entry = arguments[0]
        return f"{numbers} {get_args(entry)[1]}" if get_origin(entry) is Annotated else numbers
    if origin in (tuple, list):
        return f"list of {_type(arguments[0])}"
    if _is_mapping(hint):
        by = "side" if get_origin(arguments[0]) is Literal else "name"
        return f"by {by}: {_type(arguments[1])}"
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        in_a_rig = hint.__module__.startswith("xlvla.")
        return f"[{hint.__name__}](rig.md#{_anchor(hint)})" if in_a_rig else hint.__name__
    return SCALARS.get(hint, str(hint))


def _is_mapping(hint: Any) -> bool:
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return _shown(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return _shown(field.default_factory())
    return "required"


def _shown(value: Any) -> str:
    """A default as YAML writes it."""
    if value is None:
        return code("null")
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, tuple | list):
        return code(list(value))
    if isinstance(value, Mapping):
        return code("{}")
    if dataclasses.is_dataclass(value):
        return _shown_dataclass(value)
    return code(value) or code("''")


def _shown_dataclass(value: Any) -> str:
    entries = [f"{key}: {entry}" for key, entry in vars(value).items()]
    if len(entries) > 2:
        return "its defaults"
    return code("{" + ", ".join(entries) + "}")


def _anchor(kind: type) -> str:
    return kind.__name__.lower()
