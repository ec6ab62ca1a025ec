"""The files of a bag: rosbag2 splits long recordings and compresses files, and operators rename
folders.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from xlvla.errors import XlvlaError
from xlvla_data.bag.layout import METADATA, from_yaml, mcap_path

PACKED = (".zstd", ".zst")
"""A whole file that is compressed has one of these behind its name."""

_NUMBERED = re.compile(r"(.*?)(?:_(\d+))?\.mcap")


def parts(folder: Path) -> list[Path]:
    """The files of a bag, in the order they were recorded; XlvlaError where they are not there or
    not certain.
    """
    there = _there(folder)
    if not there:
        other = "no bag"
        if any(folder.glob("*.db3*")):
            other = "an sqlite3 bag: `ros2 bag convert` makes an MCAP file of it"
        raise XlvlaError(f"{folder} is {other}: it has no {mcap_path(folder).name}")
    named = _named(folder)
    missing = [name for name in named if name not in there]
    if named and not missing:
        more = sorted(set(there) - set(named))
        if more:
            raise XlvlaError(
                f"{folder} has {', '.join(more)}, which its {METADATA} does not name: move what "
                "does not belong to it away"
            )
        return [there[name] for name in named]
    # As many files under other names were renamed with their folder
    if missing and len(named) != len(there):
        raise XlvlaError(
            f"{folder} lacks {', '.join(missing)}, which its {METADATA} names: a part of the "
            "recording is not there"
        )
    return _of_one_name(folder, there)


def description(folder: Path) -> dict[str, Any]:
    """The contents of `metadata.yaml`; empty where it is missing, damaged or of another kind."""
    try:
        document = from_yaml((folder / METADATA).read_text())
        about = document["rosbag2_bagfile_information"]
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, RecursionError):
        return {}
    if not isinstance(about, dict):
        return {}
    return about


def _there(folder: Path) -> dict[str, Path]:
    """The MCAP files in a folder by their names without compression; of a file that is there twice,
    the one that is not compressed.
    """
    by_name: dict[str, Path] = {}
    for suffix in ("", *PACKED):
        for path in sorted(folder.glob(f"[!.]*.mcap{suffix}")):
            if path.is_file():
                by_name.setdefault(path.name.removesuffix(suffix), path)
    return by_name


def _named(folder: Path) -> list[str]:
    """The files that `metadata.yaml` names, without folders, which may be renamed, and without
    compression.
    """
    listed = description(folder).get("relative_file_paths")
    if not isinstance(listed, list):
        return []
    names: list[str] = []
    for entry in listed:
        if not isinstance(entry, str):
            continue
        name = Path(entry).name
        for suffix in PACKED:
            name = name.removesuffix(suffix)
        if name not in names:
            names.append(name)
    return names


def _of_one_name(folder: Path, there: dict[str, Path]) -> list[Path]:
    """The files of one bag by their numbers, where `metadata.yaml` does not name them."""
    groups: dict[str, list[tuple[int, Path]]] = {}
    for name, path in there.items():
        match = _NUMBERED.fullmatch(name)
        # `_there` returns no others
        assert match
        groups.setdefault(match[1], []).append((int(match[2] or 0), path))
    if len(groups) > 1:
        raise XlvlaError(
            f"{folder} holds files of {len(groups)} bags ({', '.join(sorted(there))}): an episode "
            "is one bag in a folder of its own"
        )
    ((name, numbered),) = groups.items()
    files = sorted(numbered)
    numbers = [number for number, _ in files]
    one_with_any_number = len(files) == 1 and name != folder.name
    if numbers != list(range(len(numbers))) and not one_with_any_number:
        raise XlvlaError(
            f"{folder} has files {', '.join(path.name for _, path in files)}: a part of the "
            "recording is not there"
        )
    return [path for _, path in files]
