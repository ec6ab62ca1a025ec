"""Message definitions as a bag keeps them: the .msg text of a type, then those of the types it is
made of.
"""

from __future__ import annotations

import importlib.util
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from xlvla.errors import XlvlaError
from xlvla_data.bag.layout import BagTopic, Qos

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

_PRIMITIVE = re.compile(r"(bool|byte|char|w?string|float(32|64)|u?int(8|16|32|64))$")
_FIELD = re.compile(r"^\s*([A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+\w+", re.MULTILINE)
_RULER = 80 * "="


@dataclass(frozen=True)
class Definition:
    """The complete text of a type and its RIHS01 hash, '' where the installation does not know
    it.
    """

    text: str
    hash: str


def described(name: str, kind: str, qos: Qos) -> BagTopic:
    """A topic of a bag, of an installed type."""
    described_type = definition(kind)
    profiles = yaml.safe_dump([qos.document()], sort_keys=False).strip()
    return BagTopic(name, kind, described_type.text, described_type.hash, profiles)


@cache
def definition(kind: str) -> Definition:
    """The definition of a type ('sensor_msgs/msg/JointState') from the installed message
    packages, else of ROS 2 Jazzy: a machine with only Python's packages lacks some.
    """
    texts: dict[str, str] = {}
    try:
        _collect(kind, texts)
    except XlvlaError:
        types = jazzy_types()
        if kind not in types.types:
            raise
        text, _ = types.generate_msgdef(kind, ros_version=2)
        return Definition(text, types.hash_rihs01(kind))
    text = texts.pop(kind)
    for other, other_text in texts.items():
        text += f"\n{_RULER}\nMSG: {_short(other)}\n{other_text}"
    return Definition(text, _hash(kind))


@cache
def jazzy_types() -> Typestore:
    """The types of ROS 2 Jazzy, which serialise without any message package."""
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_JAZZY)


def _collect(kind: str, texts: dict[str, str]) -> None:
    """The texts of a type and of all it is made of, in the order of the first mention."""
    text = _file(kind, "msg").read_text()
    texts[kind] = text
    package = kind.split("/")[0]
    without_comments = re.sub(r"#.*", "", text)
    for name in _FIELD.findall(without_comments):
        if _PRIMITIVE.match(name):
            continue
        full = _full(name, package)
        if full not in texts:
            _collect(full, texts)


def _full(name: str, package: str) -> str:
    """`Header` or `std_msgs/Header` in its package as `std_msgs/msg/Header`."""
    parts = name.split("/")
    if len(parts) > 1:
        package = parts[0]
    return f"{package}/msg/{parts[-1]}"


def _short(kind: str) -> str:
    """`std_msgs/msg/Header` as `std_msgs/Header`."""
    package, _, name = kind.split("/")
    return f"{package}/{name}"


def _hash(kind: str) -> str:
    """RIHS01 hash of an installed type; '' where the installation has none."""
    try:
        description = json.loads(_file(kind, "json").read_text())
    # Before ROS 2 Iron
    except XlvlaError:
        return ""
    for entry in description["type_hashes"]:
        if entry["type_name"] == kind:
            return str(entry["hash_string"])
    return ""


def _file(kind: str, suffix: str) -> Path:
    """A file of a type: message packages keep them in `share` of the prefix that their Python
    module is installed under.
    """
    package, _, name = kind.split("/")
    module = importlib.util.find_spec(package)
    if module is not None and module.origin:
        for prefix in Path(module.origin).resolve().parents:
            path = prefix / "share" / package / "msg" / f"{name}.{suffix}"
            if path.is_file():
                return path
    raise XlvlaError(f"no definition of {kind}: is the message package '{package}' installed?")
