"""The newest command of a stream, continued to now."""

from __future__ import annotations

import math

import numpy as np

STREAM_S = 0.025
"""Commands at most this far apart are a stream: its velocity is followed."""

CONTINUED = 2.0
"""For so many intervals of the stream its last command is continued, then it stands.

Longer would be smoother where commands are late. But motion has judged only the stop from its last
command on: whatever a device does beyond that nobody has looked at.
"""


class CommandStream:
    """Positions of J joints that are commanded one after the other.

    Whoever looks between two commands would see them stand still and leap; a stream is therefore
    continued at the velocity of its last two commands. Commands further apart are steps, and each
    is meant as it is.

    Args:
        velocity: the fastest a stream is believed to move [J] rad/s.

    Attributes:
        stamp_s: of the newest command; -inf where none may be compared with the next.
        made_s: when it was made, by the receiver's clock.
    """

    def __init__(self, velocity: np.ndarray):
        self._fastest = velocity
        self.clear()

    def clear(self) -> None:
        self._position = np.zeros_like(self._fastest)
        self._velocity = np.zeros_like(self._fastest)
        self._continued_s = 0.0
        self.stamp_s = self.made_s = -math.inf

    def take(self, position: np.ndarray, stamp_s: float, made_s: float) -> None:
        """The next command [J] rad with its stamp, and when it was made by the receiver's clock."""
        interval_s = stamp_s - self.stamp_s
        if interval_s > STREAM_S:
            self._velocity = np.zeros_like(position)
        elif interval_s > 0:
            self._continued_s = min(CONTINUED * interval_s, STREAM_S)
            self._velocity = np.clip(
                (position - self._position) / interval_s, -self._fastest, self._fastest
            )
        self._position = position
        self.stamp_s = stamp_s
        self.made_s = made_s

    def at(self, now_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Position [J] rad and velocity [J] rad/s by the receiver's clock; a stream that ended
        stands.
        """
        ahead_s = max(now_s - self.made_s, 0.0)
        if ahead_s > self._continued_s:
            return self._position + self._velocity * self._continued_s, np.zeros_like(
                self._velocity
            )
        return self._position + self._velocity * ahead_s, self._velocity
