"""Measures a running graph from outside, by the times at which writers sent their messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
from rclpy.node import Node

from xlvla.rig import Rig
from xlvla.ros import convert, topics
from xlvla.ros.reader import Reader
from xlvla.types import SOURCES

MS = 1e6
"""Nanoseconds."""

KEPT = 100_000
"""How many of the newest figures of a kind are kept: eight minutes of commands at 200 Hz, 3 MB."""

MOST_UNANSWERED = 100
MOST_SEEN = 400
"""Chunks and observations that are remembered until what follows them comes: of a motion that does
not play, no chunk is answered.
"""


class Measure:
    """Latency from camera to chunk to command, and regularity of the command stream, on the first
    side of a rig.

    All times are real times: an observation is counted from when its camera's message was sent. The
    newest `KEPT` figures of a kind count; of a rig without cameras, only the command stream.
    """

    def __init__(self, node: Node, rig: Rig):
        side = next(iter(rig.sides))
        self._cameras = [
            Reader(node, topics.camera_info(camera).history(200))
            for camera in list(rig.cameras)[:1]
        ]
        sources = {"policy": rig.policy, "teleop": rig.teleop}
        self._chunks = [
            Reader(node, topics.chunk(side, source).history(20))
            for source in SOURCES
            if sources.get(source)
        ]
        first_part = rig.parts_of(side)[0]
        self._commands = Reader(node, topics.command(side, first_part).history(2000))
        self._seen: dict[int, int] = {}
        self._unanswered_ns = deque[int](maxlen=MOST_UNANSWERED)
        self._last_command_ns: int | None = None
        self.observation_to_chunk_ms = deque[float](maxlen=KEPT)
        self.chunk_to_command_ms = deque[float](maxlen=KEPT)
        self.periods_ms = deque[float](maxlen=KEPT)

    def cut(self) -> None:
        """The stream is interrupted on purpose: the next period does not count."""
        self.poll()
        self._last_command_ns = None
        self._unanswered_ns.clear()

    def poll(self) -> None:
        """Takes in what was sent; call it several times a second."""
        for camera in self._cameras:
            for message, sent_ns in camera.every_sent():
                self._seen[convert.nanoseconds(message.header.stamp)] = sent_ns
        for chunks in self._chunks:
            for message, sent_ns in chunks.every_sent():
                seen_ns = self._seen.get(convert.nanoseconds(message.header.stamp))
                if seen_ns is not None:
                    self.observation_to_chunk_ms.append((sent_ns - seen_ns) / MS)
                    self._unanswered_ns.append(sent_ns)
        for _, sent_ns in self._commands.every_sent():
            self.add_command(sent_ns)
        for stamp in list(self._seen)[:-MOST_SEEN]:
            del self._seen[stamp]

    def add_command(self, sent_ns: int) -> None:
        """Takes in a command that was sent at this time."""
        if self._last_command_ns is not None:
            self.periods_ms.append((sent_ns - self._last_command_ns) / MS)
        self._last_command_ns = sent_ns
        while self._unanswered_ns and sent_ns > self._unanswered_ns[0]:
            self.chunk_to_command_ms.append((sent_ns - self._unanswered_ns.popleft()) / MS)

    def summary(self) -> dict[str, Any]:
        """The spread of every figure, and the rate of commands; None of what did not come."""
        total_s = sum(self.periods_ms) / 1e3
        rate_hz = None
        if total_s:
            rate_hz = round(len(self.periods_ms) / total_s, 2)
        return {
            "observation_to_chunk_ms": spread(self.observation_to_chunk_ms),
            "chunk_to_next_command_ms": spread(self.chunk_to_command_ms),
            "command_rate_hz": rate_hz,
            "command_period_ms": spread(self.periods_ms),
        }


def spread(values: Iterable[float]) -> dict[str, float] | None:
    """Median, 99th percentile, largest and count; None of nothing."""
    figures = np.fromiter(values, dtype=float)
    if not len(figures):
        return None
    p50, p99, largest = np.percentile(figures, [50, 99, 100]).round(3).tolist()
    return {"p50": p50, "p99": p99, "max": largest, "count": len(figures)}
