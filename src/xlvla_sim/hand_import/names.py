"""What names of links and joints tell: the side and the finger."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from xlvla.errors import XlvlaError
from xlvla.types import Finger, Side

_EDGE = r"(?<![A-Za-z])"
_END = r"(?![A-Za-z0-9])"
_SIDE = re.compile(rf"(left|right)|{_EDGE}([lr])(h|j|hand)?{_END}", re.IGNORECASE)
_OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}

_FINGERS: dict[Finger, str] = {
    "thumb": r"thumb|thj|thb|(?<![a-z])th(?![a-z])|th(?=distal|middle|proximal|base|hub|tip)",
    "index": r"index|indx|forefinger|(?<![a-z])ff|pointer",
    "middle": r"middle_?finger|(?<![a-z])mid(?![a-z])|(?<![a-z])mf|(?<![a-z])middle",
    "ring": r"(?<![a-z])ring|(?<![a-z])rf",
    "little": r"little|pinky|pinkie|(?<![a-z])lf|small",
}


def side_of(names: Iterable[str]) -> Side | None:
    """The side that names speak of; None where they speak of none or of both."""
    sides: set[Side] = set()
    for name in names:
        for match in _SIDE.finditer(name):
            word = (match.group(1) or match.group(2)).lower()
            sides.add("left" if word[0] == "l" else "right")
    return sides.pop() if len(sides) == 1 else None


def other_side(name: str) -> str:
    """A name with the other side's word; the same where it has none.

    >>> other_side("rh_FFJ1"), other_side("R_thumb_joint"), other_side("right_palm")
    ('lh_FFJ1', 'L_thumb_joint', 'left_palm')
    """

    def swapped(match: re.Match[str]) -> str:
        word = match.group(1) or match.group(2)
        other = _OTHER[word.lower()]
        if word.isupper():
            other = other.upper()
        elif word[0].isupper():
            other = other.capitalize()
        return other + (match.group(3) or "")

    return _SIDE.sub(swapped, name)


def finger_of(names: Iterable[str]) -> Finger | None:
    """The finger that most of these names speak of; None where none does or two do as often."""
    votes: Counter[Finger] = Counter()
    for name in names:
        for finger, pattern in _FINGERS.items():
            if re.search(pattern, name.lower()):
                votes[finger] += 1
    ranked = votes.most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


def hand_name(file: Path) -> str:
    """A hand's name from its file's: without the side, fit for a Python file."""
    words = re.sub(r"\.(urdf|xacro|xml|mjcf)", "", file.name.lower())
    words = _SIDE.sub("_", words)
    name = re.sub(r"[^a-z0-9]+", "_", words).strip("_")
    if not name or not name[0].isalpha():
        raise XlvlaError(f"no name can be made of {file.name}: say --name NAME")
    return name


def plain_title(name: str) -> str:
    """A title from a hand's name: `my_hand` is `My hand`."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]
