"""How a folder of commands becomes a group: every module that has a `register` adds its own."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable

import typer


def register_all(package: str, folder: Iterable[str], app: typer.Typer) -> None:
    """Let every module of a package add its commands to `app`; one without a `register` has
    none.
    """
    for module in pkgutil.iter_modules(folder):
        register = getattr(importlib.import_module(f"{package}.{module.name}"), "register", None)
        if register is not None:
            register(app)
