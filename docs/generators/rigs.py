"""The rig file, from the dataclasses it is loaded into."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from tables import code, table
from xlvla import catalog
from xlvla.rig import Rig

PAGE = "reference/rig.md"

_ENTRY = re.compile(r"^    (?P<names>[\w, ]+): (?P<text>.*)$")


def pages() -> dict[str, str]:
    """The page by path."""
    lines = [
        "# Rig files",
        "",
        "A rig is one YAML file. It is read strictly: an unknown key, a wrong type or an impossible value is a fault, and",
        "`xlvla check FILE` prints all faults at once. A file may say `like: NAME`; it then holds only what differs from that rig.",
        "[Write a rig](../howto/rig.md) shows how to begin.",
        "",
    ]
    for kind, where in _sections():
        lines += _section(kind, where)
    lines += ["## Shipped rigs", "", _shipped()]
    return {PAGE: "\n".join(lines)}


def _shipped() -> str:
    from xlvla.rig import load

    return table(("name", "description"), [(code(name), load(name).description) for name in catalog.rigs()])


def _sections() -> list[tuple[type, str]]:
    """Every dataclass of a rig with the place it has in the file, parents before children, each once."""
    found: list[tuple[type, str]] = []
    waiting: list[tuple[type, str]] = [(Rig, "")]
    while waiting:
        kind, where = waiting.pop(0)
        if kind in {known for known, _ in found}:
            continue
        found.append((kind, where))
        waiting += [(inner, f"{where}{place}") for place, inner in _nested(kind)]
    return found


def _nested(kind: type) -> list[tuple[str, type]]:
    """The dataclasses among a dataclass's fields, with where they stand below it."""
    nested = []
    for name, hint in get_type_hints(kind).items():
        inner, steps = hint, f"{name}."
        for _ in range(3):
            if get_origin(inner) in (Union, types.UnionType):
                inner = next(argument for argument in get_args(inner) if argument is not type(None))
            elif _is_mapping(inner):
                key, inner = get_args(inner)
                steps += f"{_placeholder(name, key)}."
        if dataclasses.is_dataclass(inner):
            nested.append((steps, inner))
    return nested


def _placeholder(field: str, key: Any) -> str:
    if get_origin(key) is Literal:
        return "SIDE"
    return {"cameras": "CAMERA", "calibration": "JOINT"}.get(field, "NAME")


def _section(kind: type, where: str) -> list[str]:
    title = code(where.rstrip(".")) if where else "The file"
    lines = [f"## {title} {{ #{_anchor(kind)} }}", "", summary(kind), ""]
    return [*lines, fields_table(kind), ""]


def summary(kind: type) -> str:
    """The docstring of a dataclass up to its list of fields."""
    text = inspect.getdoc(kind) or ""
    return text.partition("\n\nArgs:")[0]


def fields_table(kind: type) -> str:
    """Key, type, default and meaning of every field of a dataclass."""
    meanings = _meanings(kind)
    hints = get_type_hints(kind)
    rows = []
    for field in dataclasses.fields(kind):
        rows.append((code(field.name), _type(hints[field.name]), _default(field), meanings.get(field.name, "")))
    if not any(row[3] for row in rows):
        return table(("key", "type", "default"), [row[:3] for row in rows])
    return table(("key", "type", "default", "meaning"), rows)


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
    """A type as a reader of YAML knows it; dataclasses link to their section."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if argument is type(None) else _type(argument) for argument in arguments)
    if origin is Literal:
        return ", ".join(code(argument) for argument in arguments)
    if origin is tuple:
        return f"{len(arguments)} numbers" if ... not in arguments else f"list of {_type(arguments[0])}"
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if _is_mapping(hint):
        key, value = arguments
        by = "side" if get_origin(key) is Literal else "name"
        return f"by {by}: {_type(value)}"
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return f"[{hint.__name__}](rig.md#{_anchor(hint)})" if hint.__module__.split(".")[0] == "xlvla" else hint.__name__
    return {str: "text", float: "number", int: "integer", bool: "true or false", Any: "anything"}.get(hint, str(hint))


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
    if value is None:
        return code("null")
    if isinstance(value, bool):
        return code(str(value).lower())
    if dataclasses.is_dataclass(value):
        return code("{" + ", ".join(f"{key}: {entry}" for key, entry in vars(value).items()) + "}") if _is_small(value) else "its defaults"
    if isinstance(value, (tuple, list)):
        return code(list(value))
    if isinstance(value, Mapping):
        return code("{}")
    return code(value) if value != "" else code("''")


def _is_small(value: Any) -> bool:
    return len(vars(value)) <= 2


def _anchor(kind: type) -> str:
    return kind.__name__.lower()
