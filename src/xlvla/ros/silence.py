"""The nodes that were started here: who has fallen silent though its process is there, and who is
back.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from rclpy.node import Node

from xlvla.node_process import Running, stopped_process
from xlvla.ros import forms, topics
from xlvla.ros.reader import Reader

SILENT_S = 3.0
"""A node reports on itself once a second; one that has not for so long stands still."""

OWN_PAUSE_S = 1.0
"""A process that has not listened for this long (Ctrl-Z, a suspended machine) cannot tell whether
others were silent.
"""


class Silence:
    """Call `changes` often; for one thread."""

    def __init__(self, node: Node, running: Sequence[Running]):
        self._reader = Reader(node, topics.DIAGNOSTICS.history(200), forms.FIGURES)
        self._processes = {one.spec.name: one.process for one in running}
        self._last_seen_s: dict[str, float] = {}
        self._silent = set[str]()
        self._looked_s = time.monotonic()

    def changes(self) -> list[str]:
        """A line per node that fell silent or is back since the last call."""
        now_s = time.monotonic()
        seen = self._listen()
        lines = [self._back(name, now_s) for name in seen if name in self._silent]
        self._silent -= seen
        self._last_seen_s |= dict.fromkeys(seen, now_s)
        if now_s - self._looked_s > OWN_PAUSE_S:
            self._last_seen_s = dict.fromkeys(self._last_seen_s, now_s)
        self._looked_s = now_s
        for name, last_s in self._last_seen_s.items():
            if name not in self._silent and now_s - last_s > SILENT_S:
                self._silent.add(name)
                lines.append(self._fallen(name))
        return lines

    def _listen(self) -> set[str]:
        seen = set[str]()
        for figures in self._reader.every():
            seen |= {name for name in figures if name in self._processes}
        return seen

    def _fallen(self, name: str) -> str:
        pid = self._processes[name].pid
        if stopped_process(pid):
            why = f"its process is stopped, `kill -CONT {pid}` lets it go on"
        else:
            why = f"its process ({pid}) is there"
        return f"{name} has been silent for {SILENT_S:.0f} s: {why}"

    def _back(self, name: str, now_s: float) -> str:
        return f"{name} is back after {now_s - self._last_seen_s[name]:.0f} s"
