"""Devices and what a rig may say about them, from the `Options` of every driver."""

from __future__ import annotations

import dataclasses
import inspect

from rigs import fields_table, summary
from tables import code, table
from xlvla import catalog
from xlvla_drivers import registry

PAGE = "reference/devices.md"

INTRODUCTION = """# Devices and their options

A rig names a device by its type in the catalogue; `device.driver` chooses another driver.
The tables are what `device.options` (`teleop.options` for a source) may hold.
"""

KINDS = {
    "arm": ("Arms", "sides.SIDE.arm.device.options"),
    "hand": ("Hands", "sides.SIDE.hand.device.options"),
    "camera": ("Cameras", "cameras.CAMERA.device.options"),
    "teleop": ("Teleoperation sources", "teleop.options"),
}
"""Kinds of drivers: the heading, and where their options stand in a rig."""


def pages() -> dict[str, str]:
    """The page by path."""
    parts = [INTRODUCTION, "## Catalogue", _catalogue()]
    for kind, (title, where) in KINDS.items():
        parts += [f"## {title}", f"Options stand at {code(where)}."]
        parts += [_driver(kind, name) for name in catalog.drivers(kind)]
    parts += ["## Buttons", "An entry of `buttons` names one as its `type`.", _buttons()]
    return {PAGE: "\n\n".join(parts)}


def _buttons() -> str:
    rows = []
    for name in catalog.buttons():
        kind = registry.key_set(name)
        keys = ", ".join(f"{code(key)} {action}" for key, action in kind.keys.items())
        ids = ", ".join(f"{vendor:04x}:{product:04x}" for vendor, product in kind.ids)
        rows.append((code(name), kind.title, keys or "a rig says it", ids or "any with the keys"))
    return table(("type", "what", "keys without `keys`", "USB ids"), rows)


def _catalogue() -> str:
    rows = []
    for name, arm in catalog.arms().items():
        rows.append(("arm", code(name), arm.title, str(len(arm.joints)), code(arm.driver)))
    for name, body in catalog.humanoids().items():
        rows.append(("humanoid", code(name), body.title, "none commanded", ""))
    for name, hand in catalog.hands().items():
        rows.append(("hand", code(name), hand.title, str(len(hand.joints)), code(hand.driver)))
    return table(("kind", "type", "device", "joints", "driver"), rows)


def _driver(kind: str, name: str) -> str:
    module = registry.driver(kind, name)
    about = (inspect.getdoc(module) or "").partition("\n\n")[0]
    if registry.has_emulator(name):
        about += " It has an emulator."
    parts = [f"### {code(name)} {{ #{kind}-{name} }}", about]
    if dataclasses.fields(module.Options):
        parts += [summary(module.Options), fields_table(module.Options)]
    else:
        parts.append("It has no options.")
    return "\n\n".join(parts)
