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

import yaml

from xlvla.errors import XlvlaError
from xlvla_data.bag.layout import BagTopic, Qos

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
    found = definition(kind)
    return BagTopic(
        name,
        kind,
        found.text,
        found.hash,
        yaml.safe_dump([qos.document()], sort_keys=False).strip(),
    )


@cache
def definition(kind: str) -> Definition:
    """The definition of a type ('sensor_msgs/msg/JointState') from the installed message
    packages.
    """
    texts: dict[str, str] = {}
    _collect(kind, texts)
    first, *others = texts
    text = texts[first] + "".join(
        f"\n{_RULER}\nMSG: {_short(other)}\n{texts[other]}" for other in others
    )
    return Definition(text, _hash(kind))


def _collect(kind: str, texts: dict[str, str]) -> None:
    """The texts of a type and of all it is made of, in the order of the first mention."""
    text = _file(kind, "msg").read_text()
    texts[kind] = text
    package = kind.split("/")[0]
    for name in _FIELD.findall(re.sub(r"#.*", "", text)):
        full = _full(name, package)
        if not _PRIMITIVE.match(name) and full not in texts:
            _collect(full, texts)


def _full(name: str, package: str) -> str:
    """`Header` or `std_msgs/Header` in its package as `std_msgs/msg/Header`."""
    parts = name.split("/")
    return f"{parts[0] if len(parts) > 1 else package}/msg/{parts[-1]}"


def _short(kind: str) -> str:
    package, _, name = kind.split("/")
    return f"{package}/{name}"


def _hash(kind: str) -> str:
    try:
        described = json.loads(_file(kind, "json").read_text())
    except XlvlaError:  # before ROS 2 Iron
        return ""
    return next(
        (
            str(entry["hash_string"])
            for entry in described["type_hashes"]
            if entry["type_name"] == kind
        ),
        "",
    )


def _file(kind: str, suffix: str) -> Path:
    """A file of a type: message packages keep them in `share` of the prefix that their Python
    module is installed under.
    """
    package, _, name = kind.split("/")
    module = importlib.util.find_spec(package)
    origin = Path(module.origin).resolve() if module and module.origin else None
    for prefix in origin.parents if origin else ():
        if (path := prefix / "share" / package / "msg" / f"{name}.{suffix}").is_file():
            return path
    raise XlvlaError(f"no definition of {kind}: is the message package '{package}' installed?")
