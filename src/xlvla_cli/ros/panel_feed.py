"""What the panel reads of a running rig: only the newest of everything, when the panel looks, so
that nothing waits for it.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy as np

from xlvla import graph
from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.robot import rig_description
from xlvla.ros import camera_publisher, convert, forms, statuses, topics
from xlvla.ros.reader import Reader
from xlvla.types import SOURCES, Part, Side
from xlvla_cli.panel.seen import Coming, Picture, Seen
from xlvla_cli.ros.controls import Controls
from xlvla_cli.ros.operator import MOST_NODES, Operator

DIAGNOSTICS_KEPT = 200
"""Every node reports once a second, each in a message of its own."""

RATE_PICTURES = 30
"""Over how many pictures a rate is made."""


class PanelFeed:
    """Readers of a rig's topics; `look` is for one thread."""

    def __init__(self, operator: Operator, rig: Rig):
        node = operator.node
        self._rig = rig
        self._operator = operator
        self._controls = Controls(operator, rig)
        self._description = rig_description(rig).text
        self._descriptions = Reader(node, topics.ROBOT_DESCRIPTION)
        self._motion = Reader(node, topics.MOTION_STATUS, statuses.MOTION)
        self._diagnostics = Reader(
            node, topics.DIAGNOSTICS.history(DIAGNOSTICS_KEPT), forms.FIGURES
        )
        command = topics.command_dry if rig.motion.dry_run else topics.command
        self._measured: dict[tuple[Side, Part], Reader[Any]] = {}
        self._commanded: dict[tuple[Side, Part], Reader[Any]] = {}
        for side, part in rig.parts:
            names = rig.joint_names(side, part)
            states = topics.joint_states(side, part)
            self._measured[side, part] = Reader(node, states, forms.joints(names))
            commands = forms.commanded(names, _whenever)
            self._commanded[side, part] = Reader(node, command(side, part), commands)
        self._chunks: list[tuple[Side, Reader[Any]]] = []
        for side in rig.sides:
            names = [name for part in rig.parts_of(side) for name in rig.joint_names(side, part)]
            for source in SOURCES:
                topic = topics.chunk(side, source)
                self._chunks.append((side, Reader(node, topic, forms.chunk(names))))
        self._cameras: dict[str, Reader[Any]] = {}
        self._came_s: dict[str, deque[float]] = {}
        for name, camera in rig.cameras.items():
            topic = camera_publisher.seen(name, camera)
            self._cameras[name] = Reader(node, topic, forms.picture(*camera.publish))
            self._came_s[name] = deque(maxlen=RATE_PICTURES)
        self.seen = Seen(nodes=tuple(spec.name for spec in graph.nodes(rig)))

    def look(self, *, pictures: bool = True) -> Seen:
        """The newest of everything.

        Args:
            pictures: whether cameras are read, too: their pictures are large.
        """
        seen = self.seen
        seen.now_s = time.monotonic()
        self._listen(seen)
        for key, reader in self._measured.items():
            if (joints := reader.newest()) is not None:
                seen.measured.update(_by_name(self._rig, key, joints))
                seen.measured_s[key] = seen.now_s
        for key, reader in self._commanded.items():
            if (joints := reader.newest()) is not None:
                seen.commanded.update(_by_name(self._rig, key, joints))
                seen.commanded_s[key] = seen.now_s
        for side, reader in self._chunks:
            if (message := reader.newest()) is not None:
                self._take_chunk(seen, side, reader, message)
        if pictures:
            self._take_pictures(seen)
        return seen

    def cues(self) -> list[tuple[str, str]]:
        """What the recorder said since the last call: names of sounds, and lines."""
        return self._controls.cues()

    def _listen(self, seen: Seen) -> None:
        """What nodes say of themselves."""
        for diagnostics in self._diagnostics.every():
            for name, figures in diagnostics.items():
                if name in seen.figures or len(seen.figures) < MOST_NODES:
                    seen.figures[name] = figures
                    seen.heard_s[name] = seen.now_s
        seen.motion = self._motion.newest() or seen.motion
        seen.devices = self._controls.devices()
        seen.recording = self._controls.recording()
        seen.teleop = self._controls.following()
        seen.sim = self._operator.status()
        if (description := self._descriptions.newest()) is not None:
            seen.other_robot = description.data != self._description

    def _take_chunk(self, seen: Seen, side: Side, reader: Reader[Any], message: Any) -> None:
        try:
            points, rate_hz = convert.points(message)
        except XlvlaError as error:
            reader.refuse(error)
            return
        seen.coming[side] = Coming(tuple(message.joint_names), points, rate_hz, seen.now_s)

    def _take_pictures(self, seen: Seen) -> None:
        for name, reader in self._cameras.items():
            waiting = list(reader.every_sent())
            if not waiting:
                continue
            message, sent_ns = waiting[-1]
            try:
                rgb = convert.picture(message)
            except XlvlaError as error:
                reader.refuse(error)
                continue
            came_s = self._came_s[name]
            came_s.append(seen.now_s)
            period_s = (came_s[-1] - came_s[0]) / max(1, len(came_s) - 1)
            rate_hz = 1 / period_s if period_s > 0 else 0.0
            on_its_way_s = max(0.0, (time.time_ns() - sent_ns) / convert.SECOND)
            sent_s = seen.now_s - on_its_way_s
            seen.pictures[name] = Picture(np.ascontiguousarray(rgb), sent_s, rate_hz)


def _by_name(rig: Rig, key: tuple[Side, Part], joints: convert.Joints) -> dict[str, float]:
    return dict(zip(rig.joint_names(*key), joints.position.tolist(), strict=True))


def _whenever() -> int:
    """A time that no stamp is ahead of: the panel only shows commands."""
    return 2**62
