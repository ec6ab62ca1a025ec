"""Files that are read with one clear error and written whole or not at all, whatever stops the
writer.
"""

from __future__ import annotations

import math
import os
from collections.abc import Generator, Hashable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import yaml

from xlvla.errors import XlvlaError
from xlvla.text import plain

LONGEST_NAME = 200
"""Bytes of a name; file systems take 255, and files that are being written have longer names than
their own.
"""

LARGEST_YAML = 4_000_000
"""Bytes of a file that a person writes."""

MOST_VALUES = 200_000
"""Values of a YAML document."""


def inside(folder: Path, name: object, what: str) -> Path:
    """The place of `name` directly in `folder`; `what` says whose name it is. Every name that comes
    out of a file goes through here.

    Raises:
        XlvlaError: it is no name of one file or folder: it leads elsewhere, is empty, too long, or
            no text.
    """
    if not isinstance(name, str) or not _is_name(name):
        raise XlvlaError(
            f"{what} is called {plain(repr(name), 100)}: a name is one to {LONGEST_NAME} letters, "
            "without slashes, not '..'"
        )
    return folder / name


def _is_name(name: str) -> bool:
    fits = 0 < len(name.encode(errors="replace")) <= LONGEST_NAME
    return fits and name.isprintable() and name not in (".", "..") and not set(name) & set("/\\")


@contextmanager
def replacing(path: Path) -> Generator[Path, None, None]:
    """Where to write what is to be at `path`: on leaving, it is there at once; after an error, all
    is as it was.

    Every process writes in a place of its own beside `path`, in a folder that is made where there
    is none; one that is killed leaves it behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        yield fresh
        with fresh.open("rb") as file:
            # A name that survives a power cut without its content would be worse than neither.
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replaces a text file at once."""
    with replacing(path) as fresh:
        fresh.write_text(text)


@contextmanager
def reading_card(path: Path) -> Generator[None, None, None]:
    """Reads what a file says about itself.

    Raises:
        XlvlaError: it has not the shape that its writer gives it, which ends in almost any error of
            Python's where it is read as if it had.
    """
    try:
        yield
    except XlvlaError as error:
        if path.name in str(error):
            raise
        raise XlvlaError(f"{path}: {error}") from None
    except (
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
        ArithmeticError,
        RecursionError,
    ) as error:
        reason = plain(f"{type(error).__name__} {error}", 200)
        raise XlvlaError(f"the card of {path} is damaged: {reason}") from None


class _Loader(yaml.SafeLoader):
    """YAML's safe types, except that a key that stands twice is refused and a date is a text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        # The stubs of PyYAML do not say what it returns.
        untyped: Any = self
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key: Any = untyped.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                continue  # PyYAML refuses it by its line.
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"key '{plain(key, 60)}' stands here a second time",
                    problem_mark=key_node.start_mark,
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _date_as_text(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> str:
    return str(node.value)


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _date_as_text)


def read_yaml(path: Path) -> Any:
    """The document in a YAML file.

    Raises:
        XlvlaError: it is none, a key stands twice in one mapping, or it is larger or more deeply
            nested than anything people write.
        OSError: there is no file.
    """
    size = path.stat().st_size
    if size > LARGEST_YAML:
        raise XlvlaError(
            f"{path} is not valid YAML for a person to write: it has {size:,} bytes, at most "
            f"{LARGEST_YAML:,} are read"
        )
    try:
        document = yaml.load(path.read_text(), _Loader)
        expanded = _expanded(document, {})
    except RecursionError:
        raise XlvlaError(f"{path} is not valid YAML: it is nested too deeply") from None
    # ValueError: numbers and texts that look like YAML's and are none, such as 0x_.
    except (yaml.YAMLError, ValueError) as error:
        reason = plain(" ".join(str(error).split()))
        raise XlvlaError(f"{path} is not valid YAML: {reason}") from None
    if expanded > MOST_VALUES:
        raise XlvlaError(
            f"{path} is not valid YAML for a person to write: with its aliases filled in it has "
            f"more than {MOST_VALUES:,} values"
        )
    return document


def _expanded(value: Any, counted: dict[int, float]) -> float:
    """How many values a document has with its aliases filled in; infinite where it holds itself.

    Args:
        counted: what is known of containers, by their id.
    """
    key = id(value)
    if isinstance(value, Mapping):
        inner = list(cast(Mapping[Any, Any], value).values())
    elif isinstance(value, list):
        inner = cast(list[Any], value)
    else:
        return 1
    if key not in counted:
        # Until it is counted: met again, it is inside itself.
        counted[key] = math.inf
        counted[key] = 1 + sum(_expanded(entry, counted) for entry in inner)
    return counted[key]
