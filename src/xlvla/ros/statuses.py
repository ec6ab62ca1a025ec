"""What nodes say of themselves as JSON in a String: its keys and their types, checked wherever it
is read.

A shape is a type, a list of one shape, a mapping of keys to shapes, or `Each`, a mapping of any
keys to one shape.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from xlvla.errors import XlvlaError
from xlvla.ros.forms import Form
from xlvla.text import plain


@dataclass(frozen=True)
class Each:
    """A mapping of any keys to values of one shape."""

    shape: Any


@dataclass(frozen=True)
class Maybe:
    """A key that may be missing, and then has a value."""

    shape: Any
    otherwise: Any


def parsed(text: str, shape: Any) -> Any:
    """The JSON of a text in this shape, its texts plain and its numbers finite; raises XlvlaError
    where it has another.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise XlvlaError(f"'{plain(text, 60)}' is no JSON") from None
    return _fit(value, shape, "status")


def _fit(value: Any, shape: Any, where: str) -> Any:
    if isinstance(shape, Mapping):
        return _object(value, cast(Mapping[str, Any], shape), where)
    if isinstance(shape, Each):
        entries = _of_type(value, dict, where)
        return {
            plain(key): _fit(entry, shape.shape, f"{where}.{key}") for key, entry in entries.items()
        }
    if isinstance(shape, list):
        (element,) = cast(list[Any], shape)
        return [
            _fit(entry, element, f"{where}[{number}]")
            for number, entry in enumerate(_of_type(value, list, where))
        ]
    return _SCALARS[shape](value, where)


def _object(value: Any, shape: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The keys of the shape; others, of a newer version, are left out."""
    given = _of_type(value, dict, where)
    content: dict[str, Any] = {}
    for key, wanted in shape.items():
        optional = isinstance(wanted, Maybe)
        if key in given:
            entry_shape = wanted.shape if optional else wanted
            content[key] = _fit(given[key], entry_shape, f"{where}.{key}")
        elif optional:
            content[key] = wanted.otherwise
        else:
            raise XlvlaError(f"{where}: '{key}' is missing")
    return content


def _of_type(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise XlvlaError(f"{where} must be {_NAMES[kind]}, is {plain(repr(value), 60)}")
    return value


def _number(value: Any, where: str) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not math.isfinite(_as_float(value)):
        raise XlvlaError(f"{where} must be a number, is {plain(repr(value), 60)}")
    return float(value)


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


_NAMES = {
    dict: "a mapping",
    list: "a list",
    int: "a whole number",
    str: "a text",
    bool: "true or false",
}

_SCALARS: dict[type, Callable[[Any, str], Any]] = {
    str: lambda value, where: plain(_of_type(value, str, where)),
    bool: lambda value, where: _of_type(value, bool, where),
    int: lambda value, where: _of_type(value, int, where),
    float: _number,
}


def _form(shape: Any) -> Form[dict[str, Any]]:
    return Form(lambda message: parsed(message.data, shape))


SIM_SHAPE = {
    "begun": int,
    "episode": int,
    "task": Maybe(str, ""),
    "seed": int,
    "success": bool,
    "stage": float,
    "done": bool,
    "text": str,
    "time_s": float,
    "real_time_factor": Maybe(float, 0.0),
}

SIM = _form(SIM_SHAPE)
"""`/sim/status`, and what `/sim/reset` answers."""

MOTION = _form({"plays": bool, "state": str, "source": str, "taken_over": Maybe(bool, False)})

EMULATED_FAULTS = _form(Each({"known": [str], "active": [str]}))

TELEOP = _form(
    {
        "source": str,
        "address": str,
        "link": str,
        "rate_hz": float,
        "latency_ms": Each(float),
        "sides": Each({"tracked": bool, "clutched": bool, "strained": bool, "why": str}),
    }
)

RECORDER = _form(
    {
        "state": str,
        **{name: Maybe(str, "") for name in ("episode", "folder", "instruction", "verdict")},
        **{name: Maybe(float, 0.0) for name in ("duration_s", "written_mb")},
        "findings": Maybe([str], []),
    }
)
