"""The nodes of a rig that run elsewhere: who is awaited, who came, who vanished."""

from __future__ import annotations

import time
from collections.abc import Iterable

from rclpy.node import Node

from xlvla.ros import forms, topics
from xlvla.ros.reader import Reader

SILENCE_S = 5.0
"""A node reports on itself once a second; one that has not for so long is gone."""


class Peers:
    """Nodes of another machine, by their diagnostics: they tell of a cut cable, too, which discovery does for long not."""

    def __init__(self, node: Node, names: Iterable[str]):
        self._reader = Reader(node, topics.DIAGNOSTICS.history(200), forms.FIGURES)
        self._heard: dict[str, float] = dict.fromkeys(names, 0.0)
        self._there = set[str]()
        self._told = False

    def changes(self) -> list[str]:
        """A line for whoever came or went since the last call; the first call says who is awaited."""
        now = time.monotonic()
        for told in self._reader.every():
            self._heard |= {name: now for name in told if name in self._heard}
        there = {name for name, heard in self._heard.items() if heard and now - heard < SILENCE_S}
        lines = [f"{name} is there" for name in self._heard if name in there - self._there]
        lines += [f"{name} is gone: not heard of for {SILENCE_S:.0f} s" for name in self._heard if name in self._there - there]
        if not self._told and (awaited := [name for name in self._heard if name not in there]):
            lines.insert(0, f"waiting for {', '.join(awaited)}, on another machine: same ROS_DOMAIN_ID, same network")
        self._there, self._told = there, True
        return lines
