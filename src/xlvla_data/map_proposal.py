"""A map proposed for a bag of others, from its topics and the names of its joints."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla_data import foreign_bag
from xlvla_data.name_map import names_of

COMMANDED = re.compile(r"command|cmd|desired|goal|target|action|reference|leader|trajectory")
"""What topics of commands are called."""

DEPTH = re.compile(r"depth|disparity|infra")

UNKNOWN = "FILL_IN"
"""What nobody but the user knows."""

SAMPLED = 20
"""Messages of a topic that are looked at for the names of its joints."""


@dataclass(frozen=True)
class Topics:
    """What a bag has, by kind: joints' names by topic, and topics of pictures."""

    state: Mapping[str, Sequence[str]]
    action: Mapping[str, Sequence[str]]
    unnamed: Sequence[str]
    pictures: Sequence[str]


def proposal(folder: Path, hands: Mapping[str, str], arms: Mapping[str, str]) -> str:
    """A map as YAML, with `UNKNOWN` where something has to be filled in.

    Args:
        hands, arms: by side, where the user said them.

    Raises:
        XlvlaError: a side, hand or arm is unknown, or the bag cannot be read.
    """
    found = _topics(folder)
    names = [name for joints in found.state.values() for name in joints]
    document: dict[str, object] = {
        "hands": dict(hands) or {"right": UNKNOWN},
        "arms": dict(arms) or {"right": UNKNOWN},
        "instruction": UNKNOWN,
        "state": list(found.state) or [UNKNOWN],
        "action": list(found.action) or [UNKNOWN],
        "cameras": _cameras(found.pictures),
    }
    if found.unnamed:
        document["names"] = {topic: [UNKNOWN] for topic in found.unnamed}
    if hands and arms:
        document["joints"] = _joints(hands, arms, names)
    lines = [
        f"# A map for {folder.name}, for `xlvla data convert {folder} --map map.yaml`.",
        f"# Replace every {UNKNOWN}. Hands: {', '.join(catalog.hands())}; "
        f"arms: {', '.join(catalog.arms())}.",
        "# Joints of the measured positions: " + (", ".join(names) or "none are named"),
        yaml.safe_dump(document, sort_keys=False).rstrip(),
    ]
    if not (hands and arms):
        lines.append("# With --hands right=NAME --arms right=NAME the joints are proposed, too.")
    return "\n".join(lines)


def _topics(folder: Path) -> Topics:
    types = foreign_bag.topics(folder)
    joint_topics = [topic for topic, kind in types.items() if kind in foreign_bag.JOINTS]
    try:
        messages = foreign_bag.read(folder, joint_topics, most=SAMPLED)
    except XlvlaError:
        # Its topics are known, though not all of its messages can be read
        messages = {topic: [] for topic in joint_topics}
    state: dict[str, Sequence[str]] = {}
    action: dict[str, Sequence[str]] = {}
    for topic in joint_topics:
        names: dict[str, None] = {}
        for message in messages[topic]:
            given = getattr(message.content, "joint_names", getattr(message.content, "name", ()))
            names |= dict.fromkeys(given)
        commanded = COMMANDED.search(topic.lower()) or types[topic] != foreign_bag.JOINT_STATE
        (action if commanded else state)[topic] = list(names)
    pictures = [topic for topic, kind in types.items() if kind in foreign_bag.PICTURES]
    unnamed = [topic for topic in action if types[topic] in foreign_bag.ARRAYS]
    return Topics(state, action, unnamed, pictures)


def _cameras(topics: Sequence[str]) -> dict[str, str]:
    """Topic by a camera's name made from it; compressed pictures where there are both, and none
    that hold distances.
    """
    cameras: dict[str, str] = {}
    for topic in sorted(topics, key=lambda topic: (topic.endswith("/compressed"), topic)):
        if DEPTH.search(topic.lower()):
            continue
        words = [word for word in topic.split("/") if not re.match(r"image|compressed|^$", word)]
        cameras["_".join(words) or "camera"] = topic
    return cameras


def _joints(
    hands: Mapping[str, str], arms: Mapping[str, str], theirs: Sequence[str]
) -> dict[str, str]:
    """Their joint by ours, each used once; joints of the same name need none."""
    ours: list[str] = []
    names = names_of({"hands": dict(hands), "arms": dict(arms)}, "the options")
    for parts in names.ours().values():
        for joints in parts.values():
            ours += joints
    left = [name for name in theirs if name not in ours]
    mapped: dict[str, str] = {}
    for name in ours:
        if name in theirs:
            continue
        likely = difflib.get_close_matches(name, left, 1, 0.4)
        mapped[name] = likely[0] if likely else UNKNOWN
        if likely:
            left.remove(likely[0])
    return mapped
