"""The catalogue: every file in `hands/`, `arms/`, `humanoids/`, `rigs/` and `xlvla_sim/tasks/` is
an entry of that name.

Hands, arms and policies of your own may lie elsewhere: XLVLA_HANDS, XLVLA_ARMS and XLVLA_POLICIES
name folders whose `<name>.py` files are entries, too.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

from xlvla import own_files
from xlvla.arm import NO_ARM, Arm
from xlvla.errors import XlvlaError, unknown
from xlvla.hand import NO_HAND, Hand
from xlvla.humanoid import Humanoid
from xlvla.policy import Policy
from xlvla.types import NONE

Entry = TypeVar("Entry", Hand, Arm, Humanoid)


@cache
def hands() -> dict[str, Hand]:
    """Every known hand by name."""
    ours = {
        name: importlib.import_module(f"xlvla.hands.{name}").HAND
        for name in _modules("xlvla.hands")
    }
    own = {name: _own_hand(path) for name, path in own_files.found("XLVLA_HANDS").items()}
    return ours | own


@cache
def arms() -> dict[str, Arm]:
    """Every known arm by name."""
    ours = {
        name: importlib.import_module(f"xlvla.arms.{name}").ARM for name in _modules("xlvla.arms")
    }
    own = {name: _own_arm(path) for name, path in own_files.found("XLVLA_ARMS").items()}
    return ours | own


@cache
def humanoids() -> dict[str, Humanoid]:
    """Every known humanoid by name."""
    return {
        name: importlib.import_module(f"xlvla.humanoids.{name}").HUMANOID
        for name in _modules("xlvla.humanoids")
    }


def rigs() -> dict[str, Path]:
    """Every known rig file by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "rigs").glob("*.yaml"))}


def tasks() -> tuple[str, ...]:
    """Names of the simulated tasks; empty where `xlvla_sim` is not installed."""
    return tuple(_modules("xlvla_sim.tasks"))


def policies() -> tuple[str, ...]:
    """Names of the policies; only those of your own where `xlvla_policy` is not installed."""
    return tuple(dict.fromkeys((*_modules("xlvla_policy.policies"), *own_policies())))


def own_policies() -> dict[str, Path]:
    """The files of policies of your own by name; one that bears the name of a policy of xlvla
    stands in its place.
    """
    return own_files.found("XLVLA_POLICIES")


@cache
def drivers(kind: str) -> tuple[str, ...]:
    """Names of the device drivers of a kind (hand, arm, camera, teleop): the modules of
    `xlvla_drivers` that say what their `Options` are.

    None is imported, since the device SDKs they need may be missing.
    """
    package = "xlvla_drivers.teleop" if kind == "teleop" else f"xlvla_drivers.{kind}s"
    return tuple(name for name in _modules(package) if _defines(f"{package}.{name}", "Options"))


@cache
def buttons() -> tuple[str, ...]:
    """Names of the types of pedals and gamepads: the modules of `xlvla_drivers.buttons` that say
    what their `KEYS` are.
    """
    package = "xlvla_drivers.buttons"
    return tuple(name for name in _modules(package) if _defines(f"{package}.{name}", "KEYS"))


def hand(name: str) -> Hand:
    return _entry("hand", name, hands())


def arm(name: str) -> Arm:
    return _entry("arm", name, arms())


def humanoid(name: str) -> Humanoid:
    return _entry("humanoid", name, humanoids())


def hand_of_side(name: str) -> Hand:
    """The hand of a side of a rig; 'none' is one without joints."""
    return NO_HAND if name == NONE else hand(name)


def arm_of_side(name: str) -> Arm:
    """The arm of a side of a rig; 'none' is one without joints."""
    return NO_ARM if name == NONE else arm(name)


def policy(name: str) -> Callable[..., Policy]:
    """What makes a policy: `load(rig, *, threads=1)` of its file.

    Raises:
        XlvlaError: no file bears the name, or the file has no `load`.
    """
    known = policies()
    if name not in known:
        raise unknown("policy", name, known)
    path = own_policies().get(name)
    if path is None:
        return importlib.import_module(f"xlvla_policy.policies.{name}").load
    load: Callable[..., Policy] | None = getattr(own_files.module(path, "policy"), "load", None)
    if not callable(load):
        raise XlvlaError(
            f"{path} is no policy: it needs `def load(rig, *, threads=1)`, see xlvla/policy.py"
        )
    return load


def _entry(kind: str, name: str, entries: Mapping[str, Entry]) -> Entry:
    if name not in entries:
        raise unknown(kind, name, entries)
    return entries[name]


def _own_hand(path: Path) -> Hand:
    return _own(path, "hand", Hand, "xlvla/hands/allegro.py")


def _own_arm(path: Path) -> Arm:
    return _own(path, "arm", Arm, "xlvla/arms/ur5e.py")


def _own(path: Path, kind: str, form: type[Entry], example: str) -> Entry:
    """The entry in a file outside the catalogue, under its kind in capitals."""
    attribute = kind.upper()
    entry = getattr(own_files.module(path, kind), attribute, None)
    if not isinstance(entry, form):
        raise XlvlaError(
            f"{path} is no {kind}: it needs "
            f"`{attribute} = {form.__module__}.{form.__name__}(...)`, see {example}"
        )
    if entry.name != path.stem:
        raise XlvlaError(
            f"the {kind} in {path} is named '{entry.name}': name it '{path.stem}', as its file"
        )
    return entry


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
