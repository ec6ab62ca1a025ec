"""Options of the form NAME=VALUE."""

from __future__ import annotations

from collections.abc import Sequence

from xlvla.errors import XlvlaError


def pairs(words: Sequence[str], option: str) -> dict[str, str]:
    """What KEY=VALUE words say, by key."""
    found: dict[str, str] = {}
    for word in words:
        if not word.strip():
            continue
        key, equals, value = word.strip().partition("=")
        if not (key and equals and value):
            raise XlvlaError(f"{option} takes NAME=VALUE, not '{word}'")
        found[key] = value
    return found


def span(joint: str, text: str) -> tuple[float, float]:
    """Two numbers of a joint's range [rad or m]."""
    try:
        low, high = (float(word) for word in text.split(","))
    except ValueError:
        raise XlvlaError(f"--limit takes {joint}=LOW,HIGH in rad or m, not '{text}'") from None
    return low, high
