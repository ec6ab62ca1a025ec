"""Options of the form NAME=VALUE."""

from __future__ import annotations

from collections.abc import Sequence

from xlvla.errors import XlvlaError
from xlvla.urdf import Mimic


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


def coupling(joint: str, text: str) -> Mimic:
    """How a joint follows another: its name, the factor and the offset [rad or m]."""
    master, *numbers = text.split(",")
    try:
        factor, offset = [*map(float, numbers), 0.0][:2] if numbers else (1.0, 0.0)
        if len(numbers) > 2:
            raise ValueError
    except ValueError:
        raise XlvlaError(
            f"--mimic takes {joint}=JOINT,FACTOR or {joint}=JOINT,FACTOR,OFFSET, not '{text}'"
        ) from None
    return Mimic(master, factor, offset)


def span(joint: str, text: str) -> tuple[float, float]:
    """Two numbers of a joint's range [rad or m]."""
    try:
        low, high = (float(word) for word in text.split(","))
    except ValueError:
        raise XlvlaError(f"--limit takes {joint}=LOW,HIGH in rad or m, not '{text}'") from None
    return low, high
