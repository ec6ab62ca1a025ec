"""The nodes of a rig that run elsewhere: who is awaited, who came, who vanished."""

from __future__ import annotations

import time
from collections.abc import Iterable

from rclpy.node import Node

from xlvla.ros import forms, topics
from xlvla.ros.reader import Reader

SILENCE_S = 5.0
"""A node reports on itself once a second; one that has not for so long is gone."""


_TO_ANOTHER = (
    "from another it could not be reached, for that say --network (or `network: true` "
    "in the rig) on "
    "both"
)


class Peers:
    """Nodes of another machine, by their diagnostics: they tell of a cut cable, too, which
    discovery does for long not.

    Args:
        names: the nodes that run elsewhere.
        network: whether nodes of other machines can be heard.
    """

    def __init__(self, node: Node, names: Iterable[str], network: bool):
        self._reader = Reader(node, topics.DIAGNOSTICS.history(200), forms.FIGURES)
        self._last_seen_s: dict[str, float] = dict.fromkeys(names, 0.0)
        self._there = set[str]()
        self._announced = False
        self._network = network

    def changes(self) -> list[str]:
        """A line per node that came or went since the last call; the first call names those
        awaited.
        """
        now = time.monotonic()
        for announced in self._reader.every():
            self._last_seen_s |= {name: now for name in announced if name in self._last_seen_s}
        there = {
            name
            for name, seen_s in self._last_seen_s.items()
            if seen_s and now - seen_s < SILENCE_S
        }
        lines = [f"{name} is there" for name in self._last_seen_s if name in there - self._there]
        lines += [
            f"{name} is gone: not heard of for {SILENCE_S:.0f} s"
            for name in self._last_seen_s
            if name in self._there - there
        ]
        if not self._announced and (
            awaited := [name for name in self._last_seen_s if name not in there]
        ):
            where = (
                "on another machine: same ROS_DOMAIN_ID, same network"
                if self._network
                else f"on this machine: {_TO_ANOTHER}"
            )
            lines.insert(0, f"waiting for {', '.join(awaited)}, {where}")
        self._there = there
        self._announced = True
        return lines
