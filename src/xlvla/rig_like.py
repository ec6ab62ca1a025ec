"""Rig files that are like another: `like: bimanual` takes everything of that rig that the file
itself does not say.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from xlvla import catalog
from xlvla.device import DeviceConfig
from xlvla.errors import XlvlaError, unknown
from xlvla.files import read_yaml
from xlvla.types import PARTS, SIDES


def document(path: Path, likened: tuple[Path, ...] = ()) -> Any:
    """The YAML of a rig file with what it is like filled in; a name in `like` is of the catalogue,
    a path is beside the file.
    """
    content = read_yaml(path)
    if not isinstance(content, Mapping):
        return content
    own = dict(cast(Mapping[str, Any], content))
    if "like" not in own:
        return own
    other = _rig_file(own.pop("like"), path)
    if other in (*likened, path):
        raise XlvlaError(f"{path}: like: {other} is like this file in turn")
    base = document(other, (*likened, path))
    return _merged(_for_others(base, own), own)


def _rig_file(like: Any, path: Path) -> Path:
    """The file that `like` in the rig file at `path` names."""
    if not isinstance(like, str):
        raise XlvlaError(f"{path}: like: the name or path of one rig is needed")
    text = like
    known = catalog.rigs()
    is_path = text.endswith((".yaml", ".yml"))
    other = path.parent / text if is_path else known.get(text)
    if other is None:
        raise XlvlaError(f"{path}: like: {unknown('rig', text, known)}")
    if not other.is_file():
        raise XlvlaError(f"{path}: like: no rig file at {other}")
    return other


def _for_others(base: Any, over: Mapping[str, Any]) -> Any:
    """The rig `base` without what belongs to arms and hands of the types that it has, where `over`
    has others there: their homes and calibrations are of joints that the new ones do not have.
    """
    if not isinstance(base, Mapping):
        return base
    rig = copy.deepcopy(dict(cast(Mapping[str, Any], base)))
    for side in SIDES:
        for part in PARTS:
            old = _entry(rig, "sides", side, part)
            new = _entry(over, "sides", side, part)
            if "type" in new and new["type"] != old.get("type"):
                old.pop("home", None)
                if isinstance(old.get("device"), Mapping):
                    old["device"] = DeviceConfig.for_another(old["device"])
    return rig


def _entry(document: Any, *keys: str) -> Any:
    """What stands in a document under these keys; an empty mapping where nothing does."""
    for key in keys:
        if not isinstance(document, Mapping):
            return {}
        document = cast(Mapping[str, Any], document).get(key)
    return cast(Mapping[str, Any], document) if isinstance(document, Mapping) else {}


def _merged(base: Any, over: Any) -> Any:
    """Mappings are filled in key by key; anything else replaces what it stands over."""
    if not (isinstance(base, Mapping) and isinstance(over, Mapping)):
        return over
    merged = dict(cast(Mapping[str, Any], base))
    for key, value in cast(Mapping[str, Any], over).items():
        merged[key] = _merged(merged[key], value) if key in merged else value
    return merged
