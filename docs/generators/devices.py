"""Devices and what a rig may say about them, from the `Options` of every driver."""

from __future__ import annotations

import importlib
import inspect

from rigs import fields_table, summary
from tables import code, table
from xlvla import catalog
from xlvla_drivers import registry

PAGE = "reference/devices.md"

KINDS = {
    "arm": ("Arms", "`sides.SIDE.arm.device`"),
    "hand": ("Hands", "`sides.SIDE.hand.device`"),
    "camera": ("Cameras", "`cameras.CAMERA.device`"),
    "teleop": ("Teleoperation sources", "`teleop`"),
}
"""Kinds of drivers: the heading, and where their options stand in a rig."""


def pages() -> dict[str, str]:
    """The page by path."""
    lines = [
        "# Devices and their options",
        "",
        "A rig names a device by its type in the catalogue; `device.driver` chooses another driver.",
        "The tables are what `device.options` (`teleop.options` for a source) may hold.",
        "",
        "## Catalogue",
        "",
        _catalogue(),
    ]
    for kind, (title, where) in KINDS.items():
        lines += [f"## {title}", "", f"Options stand at {where} under `options`.", ""]
        for name in catalog.drivers(kind):
            lines += _driver(kind, name)
    return {PAGE: "\n".join(lines)}


def _catalogue() -> str:
    hands = [("hand", code(name), hand.title, str(len(hand.joints)), code(hand.driver)) for name, hand in catalog.hands().items()]
    arms = [("arm", code(name), arm.title, str(len(arm.joints)), code(arm.driver)) for name, arm in catalog.arms().items()]
    return table(("kind", "type", "device", "joints", "driver"), [*arms, *hands])


def _driver(kind: str, name: str) -> list[str]:
    module = importlib.import_module(_module_name(kind, name))
    emulator = ", emulator" if registry.has_emulator(name) else ""
    lines = [f"### {code(name)}{{ #{kind}-{name} }}", "", (inspect.getdoc(module) or "").partition("\n\n")[0] + f" (driver{emulator})", ""]
    options = module.Options
    if not fields_of(options):
        return [*lines, "It has no options.", ""]
    return [*lines, summary(options), "", fields_table(options), ""]


def _module_name(kind: str, name: str) -> str:
    return f"xlvla_drivers.{kind}.{name}" if kind == "teleop" else f"xlvla_drivers.{kind}s.{name}"


def fields_of(options: type) -> tuple[object, ...]:
    """The fields of an `Options`, which may have none."""
    return tuple(vars(options).get("__dataclass_fields__", {}))
