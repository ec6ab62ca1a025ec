"""Strict construction of frozen dataclasses from parsed YAML: every fault is found, none is guessed
away.
"""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from xlvla.errors import unknown_line
from xlvla.ranges import Range

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
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if not isinstance(value, Mapping):
        faults.append(
            f"{where}: expected a mapping with {', '.join(fields)}, got {_describe(value)}"
        )
        return _BAD
    given = cast(Mapping[Any, Any], value)
    required = [name for name, field in fields.items() if _is_required(field)]
    for key in given:
        if key not in fields:
            faults.append(f"{where}: {unknown_line('key', _text(key), fields)}")
    for name in required:
        if name not in given:
            faults.append(f"{where}: '{name}' is missing")
    types_of_fields = get_type_hints(kind, include_extras=True)
    sound: dict[str, Any] = {}
    for key, entry in given.items():
        if key not in fields:
            continue
        checked = _value(types_of_fields[key], entry, f"{where}.{key}", faults)
        if checked is not _BAD:
            sound[key] = checked
    if any(name not in sound for name in required):
        return _BAD
    return kind(**sound)


def _value(kind: Any, value: Any, where: str, faults: list[str]) -> Any:
    """The value as a field of this type holds it, or `_BAD` and why."""
    if kind is Any:
        return value
    origin = get_origin(kind)
    arguments = get_args(kind)
    if origin is Annotated:
        return _ranged(arguments[0], arguments[1], value, where, faults)
    if origin in (Union, types.UnionType):
        return _optional(arguments, value, where, faults)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, where, faults)
    if origin is Literal:
        return _literal(arguments, value, where, faults)
    if origin is tuple:
        return _tuple(arguments, value, where, faults)
    if origin is list:
        return _list(arguments[0], value, where, faults)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        key_kind, entry_kind = arguments
        return _mapping(key_kind, entry_kind, value, where, faults)
    return _scalar(cast(type, kind), value, where, faults)


def _ranged(kind: Any, allowed: Range, value: Any, where: str, faults: list[str]) -> Any:
    checked = _value(kind, value, where, faults)
    if checked is _BAD:
        return _BAD
    fault = allowed.fault(checked)
    if fault:
        faults.append(f"{where}: {fault}")
        return _BAD
    return checked


def _optional(kinds: tuple[Any, ...], value: Any, where: str, faults: list[str]) -> Any:
    """The only unions are of one type and None."""
    if value is None:
        return None
    kind = next(kind for kind in kinds if kind is not type(None))
    return _value(kind, value, where, faults)


def _literal(names: tuple[Any, ...], value: Any, where: str, faults: list[str]) -> Any:
    if value not in names:
        shown = _text(value) if isinstance(value, str) else _describe(value)
        faults.append(f"{where}: {unknown_line('name', shown, map(str, names))}")
        return _BAD
    return value


def _tuple(kinds: tuple[Any, ...], value: Any, where: str, faults: list[str]) -> Any:
    is_sequence = isinstance(value, (list, tuple))
    entries = cast(Sequence[Any], value) if is_sequence else ()
    if is_sequence and kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(entries)
    if not is_sequence or len(entries) != len(kinds):
        faults.append(f"{where}: expected {len(kinds)} numbers, got {_describe(value)}")
        return _BAD
    checked = tuple(
        _value(kind, entry, f"{where}[{index}]", faults)
        for index, (kind, entry) in enumerate(zip(kinds, entries, strict=True))
    )
    return _BAD if _BAD in checked else checked


def _list(kind: Any, value: Any, where: str, faults: list[str]) -> Any:
    if not isinstance(value, list):
        faults.append(f"{where}: expected a list, got {_describe(value)}")
        return _BAD
    sound: list[Any] = []
    for index, entry in enumerate(cast(list[Any], value)):
        checked = _value(kind, entry, f"{where}[{index}]", faults)
        if checked is not _BAD:
            sound.append(checked)
    return sound


def _mapping(key_kind: Any, entry_kind: Any, value: Any, where: str, faults: list[str]) -> Any:
    if not isinstance(value, Mapping):
        faults.append(f"{where}: expected a mapping, got {_describe(value)}")
        return _BAD
    sound: dict[Any, Any] = {}
    for key, entry in cast(Mapping[Any, Any], value).items():
        checked_key = _value(key_kind, key, where, faults)
        checked_entry = _value(entry_kind, entry, f"{where}.{_text(key)}", faults)
        if checked_key is not _BAD and checked_entry is not _BAD:
            sound[checked_key] = checked_entry
    return sound


def _scalar(kind: type, value: Any, where: str, faults: list[str]) -> Any:
    # bool is a subclass of int: true is no number here.
    is_number = isinstance(value, int) and not isinstance(value, bool)
    if kind is float and is_number:
        value = _as_float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        name = _NAMES.get(kind, kind.__name__)
        faults.append(f"{where}: expected {name}, got {_describe(value)}")
        return _BAD
    if isinstance(value, float) and not math.isfinite(value):
        faults.append(f"{where}: must be finite, is {value}")
        return _BAD
    return value


def _as_float(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


_NAMES = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}


def _is_required(field: dataclasses.Field[Any]) -> bool:
    no_value = field.default is dataclasses.MISSING
    no_factory = field.default_factory is dataclasses.MISSING
    return no_value and no_factory


def _describe(value: Any) -> str:
    if value is None:
        return "nothing"
    # The text of a container may be far longer than its file, by YAML's aliases.
    if isinstance(value, Mapping):
        return f"a mapping of {len(cast(Mapping[Any, Any], value))}"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(cast(Sequence[Any], value))}"
    return f"{type(value).__name__} {_text(value)!r}"


def _text(value: Any) -> str:
    """The beginning of a scalar's text."""
    try:
        return str(value)[:60]
    except ValueError:  # a whole number of thousands of digits
        return "of thousands of digits"
