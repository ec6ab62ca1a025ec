"""Rig files that are like another: `like: bimanual` takes everything of that rig that the file
itself does not say.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from xlvla import catalog
from xlvla.errors import XlvlaError, unknown
from xlvla.files import read_yaml


def document(path: Path, likened: tuple[Path, ...] = ()) -> Any:
    """The YAML of a rig file with what it is like filled in; a name in `like` is of the catalogue,
    a path is beside the file.
    """
    own = read_yaml(path)
    if not isinstance(own, Mapping) or "like" not in own:
        return own
    own_keys = cast(Mapping[str, Any], own)
    other = _found(own_keys["like"], path)
    if other in (*likened, path):
        raise XlvlaError(f"{path}: like: {other} is like this file in turn")
    return _merged(
        document(other, (*likened, path)),
        {key: value for key, value in own_keys.items() if key != "like"},
    )


def _found(like: Any, path: Path) -> Path:
    text = str(like)
    known = catalog.rigs()
    other = path.parent / text if text.endswith((".yaml", ".yml")) else known.get(text)
    if other is None:
        raise XlvlaError(f"{path}: like: {unknown('rig', text, known)}")
    if not other.is_file():
        raise XlvlaError(f"{path}: like: no rig file at {other}")
    return other


def _merged(base: Any, over: Any) -> Any:
    """Mappings are filled in key by key; anything else replaces what it stands over."""
    if not (isinstance(base, Mapping) and isinstance(over, Mapping)):
        return over
    below = cast(Mapping[str, Any], base)
    above = cast(Mapping[str, Any], over)
    return {
        **below,
        **{
            key: _merged(below[key], value) if key in below else value
            for key, value in above.items()
        },
    }
