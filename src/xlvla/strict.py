"""Strict construction of frozen dataclasses from parsed YAML: every fault is found, none is guessed
away.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from xlvla.errors import unknown_line

T = TypeVar("T")

_BAD: Any = object()
"""Stands for a value with a fault, so that the sound ones beside it can still be looked at."""


def build(kind: type[T], value: Any, where: str) -> tuple[T | None, list[str]]:
    """The dataclass `kind` made from `value`, with one line per fault.

    Where there are faults it is made from what is sound, so that a caller can look for more; None
    where that is too little.
    """
    faults: list[str] = []
    built = _dataclass(kind, value, where, faults)
    return (None if built is _BAD else built), faults


def _dataclass(kind: type, value: Any, where: str, faults: list[str]) -> Any:
    if not isinstance(value, Mapping):
        faults.append(
            f"{where}: expected a mapping with "
            f"{', '.join(f.name for f in dataclasses.fields(kind))}, got {_show(value)}"
        )
        return _BAD
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    faults += [f"{where}: {unknown_line('key', key, fields)}" for key in value if key not in fields]
    faults += [
        f"{where}: '{name}' is missing"
        for name, f in fields.items()
        if _required(f) and name not in value
    ]
    made = {
        key: _value(hints[key], entry, f"{where}.{key}", faults)
        for key, entry in value.items()
        if key in fields
    }
    sound = {key: entry for key, entry in made.items() if entry is not _BAD}
    return (
        _BAD
        if any(_required(f) and name not in sound for name, f in fields.items())
        else kind(**sound)
    )


def _value(kind: Any, value: Any, where: str, faults: list[str]) -> Any:
    if kind is Any:
        return value
    origin = get_origin(kind)
    arguments = get_args(kind)
    if origin in (Union, types.UnionType):
        return (
            None
            if value is None
            else _value(next(a for a in arguments if a is not type(None)), value, where, faults)
        )
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where, faults)
    if origin is Literal:
        return _literal(arguments, value, where, faults)
    if origin is tuple:
        return _tuple(arguments, value, where, faults)
    if origin is list:
        return _list(arguments[0], value, where, faults)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(arguments, value, where, faults)
    return _scalar(kind, value, where, faults)


def _literal(known: tuple, value: Any, where: str, faults: list[str]) -> Any:
    if value not in known:
        faults.append(f"{where}: {unknown_line('name', value, map(str, known))}")
        return _BAD
    return value


def _tuple(kinds: tuple, value: Any, where: str, faults: list[str]) -> Any:
    if isinstance(value, (list, tuple)) and kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(value)
    if not isinstance(value, (list, tuple)) or len(value) != len(kinds):
        faults.append(f"{where}: expected {len(kinds)} numbers, got {_show(value)}")
        return _BAD
    made = tuple(
        _value(kind, entry, f"{where}[{i}]", faults)
        for i, (kind, entry) in enumerate(zip(kinds, value, strict=True))
    )
    return _BAD if _BAD in made else made


def _list(kind: Any, value: Any, where: str, faults: list[str]) -> Any:
    if not isinstance(value, list):
        faults.append(f"{where}: expected a list, got {_show(value)}")
        return _BAD
    made = [_value(kind, entry, f"{where}[{i}]", faults) for i, entry in enumerate(value)]
    return [entry for entry in made if entry is not _BAD]


def _mapping(kinds: tuple, value: Any, where: str, faults: list[str]) -> Any:
    if not isinstance(value, Mapping):
        faults.append(f"{where}: expected a mapping, got {_show(value)}")
        return _BAD
    made = {
        _value(kinds[0], key, where, faults): _value(kinds[1], entry, f"{where}.{key}", faults)
        for key, entry in value.items()
    }
    return {key: entry for key, entry in made.items() if key is not _BAD and entry is not _BAD}


def _scalar(kind: type, value: Any, where: str, faults: list[str]) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        faults.append(f"{where}: expected {_NAMES.get(kind, kind.__name__)}, got {_show(value)}")
        return _BAD
    if isinstance(value, float) and not math.isfinite(value):
        faults.append(f"{where}: must be finite, is {value}")
        return _BAD
    return value


_NAMES = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}


def _required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _show(value: Any) -> str:
    return f"{type(value).__name__} {str(value)[:60]!r}" if value is not None else "nothing"
