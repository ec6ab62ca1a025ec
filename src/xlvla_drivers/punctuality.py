"""Detects late messages by the sender's stamps, although the offset between the two clocks is
unknown.
"""

from __future__ import annotations

import math

LATE_S = 0.02
"""A message that took this much longer than the quickest ones is late."""

_DRIFT = 1e-4  # how much faster than ours the sender's clock may run


class Punctuality:
    """Of one stream of messages."""

    def __init__(self):
        self._quickest_s = math.inf
        self._then_s = 0.0

    def is_late(self, sent_s: float, now_s: float) -> bool:
        """Of a message sent at `sent_s` by the sender's clock that arrived at `now_s` by ours."""
        took_s = (
            now_s - sent_s
        )  # and the difference of the clocks, the same for all but for a slow drift
        self._quickest_s = min(self._quickest_s + _DRIFT * (now_s - self._then_s), took_s)
        self._then_s = now_s
        return took_s - self._quickest_s > LATE_S
