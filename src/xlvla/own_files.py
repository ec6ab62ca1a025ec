"""Entries of one's own: `<name>.py` files in the folders that an environment variable names."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from xlvla.errors import XlvlaError


def found(variable: str) -> dict[str, Path]:
    """The entry files by name; of two with one name the later folder's.

    Raises:
        XlvlaError: the variable names something that is no folder.
    """
    files: dict[str, Path] = {}
    for word in os.environ.get(variable, "").split(os.pathsep):
        if not word:
            continue
        folder = Path(word)
        if not folder.is_dir():
            raise XlvlaError(f"{variable} names {folder}, which is no folder")
        for path in sorted(folder.glob("*.py")):
            if not path.name.startswith("_"):
                files[path.stem] = path
    return files


def module(path: Path, kind: str) -> ModuleType:
    """The module in an entry file, which may import and compute what it likes.

    Args:
        kind: what the entry is to be, for the error.

    Raises:
        XlvlaError: it cannot be imported.
    """
    spec = importlib.util.spec_from_file_location(f"xlvla_own_{kind}_{path.stem}", path)
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    # dataclasses and pickles look their module up by name
    sys.modules[spec.name] = made
    try:
        spec.loader.exec_module(made)
    except Exception as error:  # whatever its author did wrong
        del sys.modules[spec.name]
        first_line = str(error).partition("\n")[0]
        raise XlvlaError(
            f"the {kind} in {path} cannot be read: {type(error).__name__}: {first_line}"
        ) from None
    return made
