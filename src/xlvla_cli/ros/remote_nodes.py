"""The nodes of a rig that run elsewhere: which are awaited, which came, which vanished."""

from __future__ import annotations

import time
from collections.abc import Iterable

from rclpy.node import Node

from xlvla.ros import forms, topics
from xlvla.ros.reader import Reader

SILENCE_S = 5.0
"""A node reports on itself once a second; one that has not for this long is gone."""

OTHER_MACHINE = "on another machine: same ROS_DOMAIN_ID, same network"
THIS_MACHINE = (
    "on this machine: from another it could not be reached, for that say --network (or `network: "
    "true` in the rig) on both"
)


class RemoteNodes:
    """Nodes that run elsewhere, by their diagnostics: these also stop when a cable is cut, which
    discovery notices much later.

    Args:
        names: the nodes that run elsewhere.
        network: whether nodes of other machines are received.
    """

    def __init__(self, node: Node, names: Iterable[str], network: bool):
        self._reader = Reader(node, topics.DIAGNOSTICS.history(200), forms.FIGURES)
        self._last_seen_s: dict[str, float | None] = dict.fromkeys(names)
        self._there = set[str]()
        self._announced = False
        self._network = network

    def changes(self) -> list[str]:
        """A line per node that came or went since the last call; the first call names those
        awaited.
        """
        there = self._heard_of()
        lines: list[str] = []
        awaited = [name for name in self._last_seen_s if name not in there]
        if awaited and not self._announced:
            where = OTHER_MACHINE if self._network else THIS_MACHINE
            lines.append(f"waiting for {', '.join(awaited)}, {where}")
        for name in self._last_seen_s:
            if name in there - self._there:
                lines.append(f"{name} is there")
        for name in self._last_seen_s:
            if name in self._there - there:
                lines.append(f"{name} is gone: not heard of for {SILENCE_S:.0f} s")
        self._there = there
        self._announced = True
        return lines

    def _heard_of(self) -> set[str]:
        """The nodes whose diagnostics came lately."""
        now = time.monotonic()
        for diagnostics in self._reader.every():
            for name in diagnostics:
                if name in self._last_seen_s:
                    self._last_seen_s[name] = now
        there = set[str]()
        for name, seen_s in self._last_seen_s.items():
            if seen_s is not None and now - seen_s < SILENCE_S:
                there.add(name)
        return there
