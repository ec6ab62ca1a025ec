"""A map in YAML from our names to those of another data set: hands, arms, joints and units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from xlvla import catalog
from xlvla.errors import XlvlaError, nearest
from xlvla.files import read_yaml
from xlvla.strict import build
from xlvla.text import plain
from xlvla.types import PARTS, Part, Side, scoped
from xlvla_data.bodies import Range, ranges
from xlvla_data.lerobot import layout

SHOWN_JOINTS = 4
"""Joints of another data set that a message names."""


@dataclass(frozen=True)
class Names:
    """The names and units of another data set, by ours.

    Args:
        hands, arms: of the catalogue, by side; 'none' where a side has no hand, or no arm.
        task: name of a task; '' where it is none of ours.
        joints: its name of a joint by ours, as in 'left_arm_joint1: L_j1'; joints that have our
            names need none.
        cameras: its camera by ours; where there are none, all keep their names.
        state, action: its features.
        degrees: whether its joints are in degrees.
        scale: factor of its numbers, by our names of the joints: -1 where its joint turns the
            other way.
        range: its numbers at our lower and at our upper limit, by our names of the joints: [1, 0]
            where a finger's 1 is open and its 0 is closed. In a file, one pair alone is that of all
            joints of the hands.
    """

    hands: Mapping[Side, str]
    arms: Mapping[Side, str]
    task: str = ""
    joints: Mapping[str, str] = field(default_factory=dict[str, str])
    cameras: Mapping[str, str] = field(default_factory=dict[str, str])
    state: str = layout.STATE
    action: str = layout.ACTION
    degrees: bool = False
    scale: Mapping[str, float] = field(default_factory=dict[str, float])
    range: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])

    @cached_property
    def limits(self) -> dict[str, Range]:
        """What our joints can do, by their rig-wide names."""
        return ranges(self.hands, self.ours())

    def ours(self) -> dict[Side, dict[Part, tuple[str, ...]]]:
        """Rig-wide names of the joints by side and part."""
        names: dict[Side, dict[Part, tuple[str, ...]]] = {}
        for side, hand in self.hands.items():
            joints: dict[Part, Sequence[str]] = {
                "arm": catalog.arm_of_side(self.arms[side]).joints,
                "hand": catalog.hand_of_side(hand).joint_names(side),
            }
            names[side] = {}
            for part in PARTS:
                names[side][part] = tuple(scoped(side, part, joint) for joint in joints[part])
        return names


def names_of(document: Mapping[str, Any], source: str) -> Names:
    """The map in a YAML document; raises XlvlaError with everything that is wrong with it."""
    # One pair of numbers is the range of all joints of the hands, which are known once the rest of
    # the map is read
    pair = document.get("range")
    if isinstance(pair, list):
        names = names_of({**document, "range": {}}, source)
        fingers: list[str] = []
        for parts in names.ours().values():
            fingers += parts["hand"]
        return names_of({**document, "range": dict.fromkeys(fingers, pair)}, source)

    names, faults = build(Names, document, "map")
    if names is None or faults:
        lines = [fault.removeprefix("map.") for fault in faults]
        raise XlvlaError(f"{source}: {'; '.join(lines)}")
    if not names.hands or set(names.hands) != set(names.arms):
        raise XlvlaError(
            f"{source}: hands and arms are of the same sides, at least one; hands: "
            f"{list(names.hands)}, arms: {list(names.arms)}"
        )
    known: set[str] = set()
    for parts in names.ours().values():
        for joints in parts.values():
            known.update(joints)
    for name, (low, high) in names.range.items():
        if low == high or name in names.scale:
            raise XlvlaError(
                f"{source}: range.{name}: two different numbers, and no scale beside them, are "
                "wanted"
            )
    for name in (*names.joints, *names.scale, *names.range):
        if name not in known:
            raise XlvlaError(
                f"{source}: these hands and arms have no joint '{name}'{nearest(name, known)}"
            )
    return names


def read_map(
    path: Path | None, joints: Sequence[str] = (), **chosen: Mapping[str, str] | str
) -> Names:
    """The map in a file, None for none; fields given here replace those of the file.

    Args:
        joints: what the numbers of the other data set are called.

    Raises:
        XlvlaError: something is wrong with it, or neither it nor the fields say whose joints these
            are.
    """
    document: Any = {}
    if path is not None:
        try:
            document = read_yaml(path)
        except FileNotFoundError:
            raise XlvlaError(f"no map at {path}") from None
    if not isinstance(document, dict):
        raise XlvlaError(f"{path} is no name map: it must list hands, arms and joints by name")
    for key, value in chosen.items():
        if value:
            document[key] = value
    _require_bodies(document, joints)
    return names_of(document, str(path or "the import"))


def _require_bodies(document: Mapping[str, Any], joints: Sequence[str]) -> None:
    """Raises XlvlaError where nobody has said whose joints these are."""
    known = {"hands": catalog.hands(), "arms": catalog.arms()}
    options: list[str] = []
    for key, names in known.items():
        if not document.get(key):
            options.append(
                f"--{key} left=NAME,right=NAME, or one side (known are {', '.join(names)}, none)"
            )
    if options:
        shown = ", ".join(plain(name, 60) for name in joints[:SHOWN_JOINTS]) or "none has a name"
        more = len(joints) - SHOWN_JOINTS
        if more > 0:
            shown += f" and {more} more"
        raise XlvlaError(f"whose joints are these ({shown})? Say {' and '.join(options)}")
