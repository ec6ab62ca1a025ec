"""One side of the motion node: chunks and joint states in, commands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.ros import convert, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.measured import Measured
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.types import CHUNK_HZ, PARTS, Part, Side
from xlvla_drivers.motion.authority import Authority
from xlvla_drivers.motion.chunk import Refused
from xlvla_drivers.motion.home import way_home
from xlvla_drivers.motion.pace import Beat
from xlvla_drivers.motion.sides import side_player

RELATIVE = ":relative"


@dataclass(frozen=True)
class Era:
    """The time since the last reset; what is stamped before it is void."""

    name: str = ""
    began_ns: int = 0


class SideStream:
    """The player of one side and what it is told.

    Attributes:
        homing: motion's own way home is played, and chunks wait.
    """

    def __init__(self, node: RigNode, side: Side):
        self.node = node
        self.side: Side = side
        self.player = side_player(node.rig, side)
        self.started = self.homing = False
        self.muted: set[Part] = set()
        self.position: np.ndarray | None = None
        self._measured = Measured(node, node.rig, side)
        self._chunks = Reader(node, topics.chunk(side))
        names = {part: node.rig.joint_names(side, part) for part in PARTS}
        topic = topics.command_dry if node.rig.motion.dry_run else topics.command
        self._topics = {part: node.publisher(topic(side, part)) for part in PARTS}
        self._messages = {part: convert.JointMessage(joints) for part, joints in names.items()}
        self._split = len(names["arm"])
        self._home, self._home_ns = np.array(list(node.rig.start(side).values())), 0

    def release(self) -> None:
        """Forgets everything; the next chunk starts from the measured pose."""
        self.player.release()
        self.started, self.homing, self.position = False, False, None
        self.muted.clear()

    def take_chunks(self, now_ns: int, era: Era, authority: Authority) -> None:
        while (message := self._chunks.next()) is not None:
            void = convert.nanoseconds(message.header.stamp) < max(era.began_ns, self._home_ns)
            if void or self.homing or not authority.moves:
                self.node.health.counts[f"{self.side} chunks ignored"] += 1
                continue
            try:
                self._offer(message, now_ns, era, authority)
            except XlvlaError as error:
                self.node.warn(f"/{self.side}/chunk: {error}")

    def go_home(self, now_ns: int, era: Era) -> None:
        """Begins the way to where episodes start, whatever is played now; nothing where it is not known where the side is."""
        here = self.where(now_ns, era)
        if here is not None:
            self.player.go(way_home(here, self._home, self.player.bounds.velocity, CHUNK_HZ), CHUNK_HZ, now_ns / SECOND)
            self.homing = True

    def _offer(self, message: Any, now_ns: int, era: Era, authority: Authority) -> None:
        stamp_ns, source = convert.nanoseconds(message.header.stamp), message.header.frame_id
        try:
            authority.admit(source.removesuffix(RELATIVE))
            points, rate_hz = convert.points(message)
        except XlvlaError as error:
            reason = error.reason if isinstance(error, Refused) else "size"
            self.player.counts[f"refused: {reason}"] += 1
            raise
        measured = None if self.started else self._measured.pose(now_ns, era.began_ns)
        relative = source.endswith(RELATIVE)
        names, now_s = list(message.joint_names), now_ns / SECOND
        self.player.offer(points, names, stamp_ns / SECOND, rate_hz, now_s, measured=measured, relative=relative)
        self.node.health.took(f"{self.side} observation to command", (now_ns - stamp_ns) / SECOND)

    def command(self, now_ns: int, era: Era, beat: Beat) -> None:
        """Publishes the command of this tick; nothing before there is a chunk to play and a fresh pose to start from."""
        if not self.started:
            measured = self._measured.pose(now_ns, era.began_ns) if self.player.has_chunk(now_ns / SECOND) else None
            if measured is None:
                return
            self.position, self.started = measured, True
        assert self.position is not None
        self.position = self.player.command(now_ns / SECOND, self.position, beat)
        if self.homing and not self.player.has_chunk(now_ns / SECOND):  # what was decided on the way is of another place
            self.homing, self._home_ns = False, now_ns
        for part, values in (("arm", self.position[: self._split]), ("hand", self.position[self._split :])):
            if part not in self.muted:
                self._topics[part].publish(self._messages[part].fill(now_ns, values, frame=era.name))

    def where(self, now_ns: int, era: Era) -> np.ndarray | None:
        """The last command [N], or the measured pose before there is one; None where neither is known."""
        return self.position if self.started else self._measured.pose(now_ns, era.began_ns)

    def ahead(self, seconds: float, here: np.ndarray) -> np.ndarray:
        return self.player.ahead(seconds) if self.started else here
