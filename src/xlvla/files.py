"""Files that are read with one clear error and written whole or not at all, whatever stops the
writer.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from xlvla.errors import XlvlaError
from xlvla.text import plain

LONGEST_NAME = 200
"""Bytes of a name; file systems take 255, and files that are being written have longer names than
their own.
"""


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


def read_yaml(path: Path) -> Any:
    """The document in a YAML file; raises XlvlaError where it is none, OSError where there is no
    file.
    """
    try:
        return yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise XlvlaError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
