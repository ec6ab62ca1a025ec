"""Writes a calibration into a rig's file and leaves everything else of it, comments too, as it
is.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from xlvla.device import JointCalibration
from xlvla.errors import XlvlaError
from xlvla.files import replacing
from xlvla.types import Part, Side

Entries = Mapping[str, JointCalibration]


def with_calibration(text: str, side: Side, part: Part, entries: Entries) -> str:
    """A rig's YAML with `sides.<side>.<part>.device.calibration` set to these entries.

    Raises:
        XlvlaError: the file is written in a way that this cannot be done without touching more.
    """
    wanted = _unshared(yaml.safe_load(text))
    wanted["sides"][side][part]["device"]["calibration"] = {
        joint: _plain(entry) for joint, entry in entries.items()
    }
    made = _edited(text, _device(text, side, part), entries)
    if _parsed(made) != wanted:
        raise XlvlaError(
            f"cannot write into this file's sides.{side}.{part}.device without touching more of it "
            "(anchors, aliases or tags?): "
            f"write that section in plain YAML, or add by hand `calibration: {_flow(entries)}`"
        )
    return made


def save(path: Path, text: str) -> Path | None:
    """Replaces a file at once, or not at all; where its old content is kept, None when there was
    none.
    """
    path = path.resolve()
    kept = None
    if path.exists():
        kept = path.with_name(f"{path.name}.{time.strftime('%Y%m%d-%H%M%S')}.bak")
        shutil.copy2(path, kept)
    with replacing(path) as fresh:
        fresh.write_text(text)
        if kept:
            shutil.copymode(path, fresh)
    return kept


def _device(text: str, side: Side, part: Part) -> yaml.MappingNode:
    node: Any = yaml.compose(text)
    for key in ("sides", side, part, "device"):
        node = _entry(node, key)
    return node


def _entry(node: yaml.MappingNode, key: str) -> Any:
    return next((value for name, value in node.value if name.value == key), None)


def _edited(text: str, device: yaml.MappingNode, entries: Entries) -> str:
    old = _entry(device, "calibration")
    if old is not None:
        block = not device.flow_style and not old.flow_style and old.value
        new = _block(entries, old.start_mark.column).lstrip() if block else _flow(entries)
        return text[: old.start_mark.index] + new + text[_end(old) :]
    if device.flow_style:
        close = device.end_mark.index - 1
        return (
            text[:close].rstrip()
            + (", " if device.value else "")
            + f"calibration: {_flow(entries)}"
            + text[close:]
        )
    line_end = text.find("\n", _end(device))
    line_end = len(text) if line_end < 0 else line_end
    column = device.start_mark.column
    return (
        text[:line_end]
        + f"\n{' ' * column}calibration:\n{_block(entries, column + 2)}"
        + text[line_end:]
    )


def _end(node: yaml.Node) -> int:
    """Where a node's own text ends: the marks of a block reach as far as what follows it."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        return _end(node.value[-1][1])
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return node.end_mark.index


def _block(entries: Entries, column: int) -> str:
    return "\n".join(f"{' ' * column}{joint}: {_one(entry)}" for joint, entry in entries.items())


def _flow(entries: Entries) -> str:
    return "{" + ", ".join(f"{joint}: {_one(entry)}" for joint, entry in entries.items()) + "}"


def _one(entry: JointCalibration) -> str:
    return "{" + ", ".join(f"{key}: {_number(value)}" for key, value in _plain(entry).items()) + "}"


def _plain(entry: JointCalibration) -> dict[str, float]:
    return {"sign": int(entry.sign), "offset": entry.offset} | (
        {} if entry.scale == 1 else {"scale": entry.scale}
    )


def _number(value: float) -> str:
    """As YAML reads it back: it takes `1e-05` for a text."""
    return repr(value) if "e" not in repr(value) else f"{value:.20f}".rstrip("0")


def _unshared(value: Any) -> Any:
    """The same without parts in common, which is what an alias makes."""
    if isinstance(value, dict):
        return {key: _unshared(entry) for key, entry in value.items()}
    return [_unshared(entry) for entry in value] if isinstance(value, list) else value


def _parsed(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None
