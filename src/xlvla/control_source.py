"""Who drives the robot, as motion says it and as data sets keep it."""

from __future__ import annotations

from collections.abc import Mapping

from xlvla.types import Source

POLICY: Source = "policy"
TELEOP: Source = "teleop"
"""Sources of chunks: the operator may take the robot from the policy while it drives."""

NOBODY = "nobody"
"""The source that is chosen where none is to drive: no source bears this name."""

CONTROL_SOURCES = ("", "policy", "operator", "expert", "home", "replay")
"""Who drives, by the number that data sets keep; '' where nobody does or it is not known. New ones
go to the end.
"""

TAKE_OVER = "take over"
"""Said instead of `operator` where the operator drives in place of the policy."""

OF_CHUNKS: Mapping[str, str] = {POLICY: "policy", TELEOP: "operator", "replay": "replay"}
"""Who drives, by the source of the chunks that are played."""


def number(words: str) -> int:
    """The number of who drives; 0 for words that are not known.

    >>> number("policy"), number(TAKE_OVER), number("a newer word")
    (1, 2, 0)
    """
    source = "operator" if words == TAKE_OVER else words
    return CONTROL_SOURCES.index(source) if source in CONTROL_SOURCES else 0
