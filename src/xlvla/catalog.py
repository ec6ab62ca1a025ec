"""The catalogue: every file in `hands/`, `arms/`, `rigs/` and `xlvla_sim/tasks/` is an entry of
that name.

Hands of your own may lie elsewhere: XLVLA_HANDS names folders whose `<name>.py` files are entries,
too.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

from xlvla.arm import Arm
from xlvla.errors import XlvlaError, unknown
from xlvla.hand import Hand

Entry = TypeVar("Entry", Hand, Arm)


@cache
def hands() -> dict[str, Hand]:
    """Every known hand by name."""
    ours = {
        name: importlib.import_module(f"xlvla.hands.{name}").HAND
        for name in _modules("xlvla.hands")
    }
    folders = [
        Path(folder) for folder in os.environ.get("XLVLA_HANDS", "").split(os.pathsep) if folder
    ]
    return ours | {
        path.stem: _own_hand(path) for folder in folders for path in _entry_files(folder)
    }


@cache
def arms() -> dict[str, Arm]:
    """Every known arm by name."""
    return {
        name: importlib.import_module(f"xlvla.arms.{name}").ARM for name in _modules("xlvla.arms")
    }


def rigs() -> dict[str, Path]:
    """Every known rig file by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "rigs").glob("*.yaml"))}


def tasks() -> tuple[str, ...]:
    """Names of the simulated tasks; empty where `xlvla_sim` is not installed."""
    return tuple(_modules("xlvla_sim.tasks"))


def policies() -> tuple[str, ...]:
    """Names of the policies; empty where `xlvla_policy` is not installed."""
    return tuple(_modules("xlvla_policy.policies"))


@cache
def drivers(kind: str) -> tuple[str, ...]:
    """Names of the device drivers of a kind (hand, arm, camera, teleop): the modules of
    `xlvla_drivers` that say what their `Options` are.

    None is imported, since the device SDKs they need may be missing.
    """
    package = "xlvla_drivers.teleop" if kind == "teleop" else f"xlvla_drivers.{kind}s"
    return tuple(name for name in _modules(package) if _defines(f"{package}.{name}", "Options"))


def hand(name: str) -> Hand:
    return _entry("hand", name, hands())


def arm(name: str) -> Arm:
    return _entry("arm", name, arms())


def _entry(kind: str, name: str, entries: Mapping[str, Entry]) -> Entry:
    if name not in entries:
        raise unknown(kind, name, entries)
    return entries[name]


def _entry_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise XlvlaError(f"XLVLA_HANDS names {folder}, which is no folder")
    return sorted(path for path in folder.glob("*.py") if not path.name.startswith("_"))


def _own_hand(path: Path) -> Hand:
    """The hand in an entry file outside the catalogue, which may import and compute what it
    likes.
    """
    spec = importlib.util.spec_from_file_location(f"xlvla_own_hands_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever its author did wrong
        first_line = str(error).partition("\n")[0]
        raise XlvlaError(
            f"the hand in {path} cannot be read: {type(error).__name__}: {first_line}"
        ) from None
    hand = getattr(module, "HAND", None)
    if not isinstance(hand, Hand):
        raise XlvlaError(
            f"{path} is no hand: it needs `HAND = xlvla.hand.Hand(...)`, see xlvla/hands/allegro.py"
        )
    if hand.name != path.stem:
        raise XlvlaError(
            f"the hand in {path} is named '{hand.name}': name it '{path.stem}', as its file"
        )
    return hand


@cache
def _modules(package: str) -> tuple[str, ...]:
    """Module names in a package, without importing any of them."""
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        return ()
    found = (
        pkgutil.iter_modules(spec.submodule_search_locations)
        if spec and spec.submodule_search_locations
        else ()
    )
    return tuple(sorted(module.name for module in found if not module.name.startswith("_")))


def _defines(module: str, name: str) -> bool:
    """Whether a module's text defines a name at its top level."""
    spec = importlib.util.find_spec(module)
    text = Path(spec.origin).read_text() if spec and spec.origin else ""
    return re.search(rf"^(class|def) {name}\b|^{name}\b.*=", text, re.MULTILINE) is not None
