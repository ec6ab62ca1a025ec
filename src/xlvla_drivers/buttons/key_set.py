"""What a file of this folder says of a thing with keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from xlvla.buttons import Action


@dataclass(frozen=True)
class KeySet:
    """A type of pedal, gamepad or the like: `KEYS` of a module `buttons/<name>.py`.

    Args:
        title: for people.
        keys: what its keys usually do, by the kernel's names; none where a rig has to say it.
        ids: USB vendor and product of those that are known; without any, all that have the keys.
    """

    title: str
    keys: Mapping[str, Action] = field(default_factory=dict[str, Action])
    ids: tuple[tuple[int, int], ...] = ()
