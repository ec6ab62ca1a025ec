"""Packages that only some devices need."""

from __future__ import annotations

import importlib
from types import ModuleType

from xlvla.errors import XlvlaError


def installed(module: str, remedy: str) -> ModuleType:
    """Imports a module that is an optional dependency; XlvlaError says what to do where it is
    missing.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # Something that the module itself imports is missing: a fault of the installation.
        if error.name != module.partition(".")[0]:
            raise
        raise XlvlaError(f"'{module}' is not installed: {remedy}") from None
