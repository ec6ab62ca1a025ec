"""The remote of a G1, as the robot passes it on in `wireless_remote` of LowState_."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from xlvla.errors import unknown

REMOTE = np.dtype(
    {
        "names": ["head", "keys", "sticks"],
        "formats": ["(2,)u1", "<u2", "(5,)<f4"],
        "offsets": [0, 2, 4],
        "itemsize": 40,
    }
)
"""Its 40 bytes, the last 16 unused; sticks are lx, rx, ry, L2, ly (unitree_sdk2, its examples'
gamepad).
"""

KEYS = (
    *("R1", "L1", "start", "select", "R2", "L2", "F1", "F2"),
    *("A", "B", "X", "Y", "up", "right", "down", "left"),
)
"""Names of the bits of `keys`, the lowest first."""


def combinations(names: Iterable[str]) -> dict[str, int]:
    """The bits of keys that are pressed together, such as `L1+A`, by that name; XlvlaError for a
    key that no remote has.

    >>> combinations(["L1+A", "select"])
    {'L1+A': 258, 'select': 8}
    """
    found: dict[str, int] = {}
    for name in names:
        bits = 0
        for key in name.split("+"):
            if key not in KEYS:
                raise unknown("key of a G1's remote", key, KEYS)
            bits |= 1 << KEYS.index(key)
        found[name] = bits
    return found


def pressed(remote: np.ndarray, among: dict[str, int]) -> str:
    """The first of some combinations whose keys are all pressed, '' where none is.

    Args:
        remote: `wireless_remote` [40] bytes.
        among: from `combinations`.
    """
    keys = int(remote.view(REMOTE)["keys"][0])
    return next((name for name, bits in among.items() if keys & bits == bits), "")


def is_heard(remote: np.ndarray) -> bool:
    """Whether the robot hears its remote. UNCONFIRMED: without one all of its bytes are zero."""
    return bool(remote.any())
