"""One side of the motion node: chunks and joint states in, commands out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.ros import convert, forms, topics
from xlvla.ros.command_session import CommandMessage, Origin
from xlvla.ros.convert import SECOND, Reset
from xlvla.ros.measured import Measured
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.types import CHUNK_HZ, PARTS, SOURCES, Part, Side
from xlvla_drivers.motion.authority import Authority
from xlvla_drivers.motion.chunk import Refused
from xlvla_drivers.motion.home import way_home
from xlvla_drivers.motion.player import Player
from xlvla_drivers.motion.tracking import Tracking


@dataclass(frozen=True)
class ChunkStream:
    """Chunks of one source, '' for one without a name; `relative` as in `topics.relative_chunk`."""

    source: str
    relative: bool
    reader: Reader[Any]


class SideStream:
    """What one side of a rig is told and says of itself, and what its player makes of it.

    Attributes:
        homing: motion's own way home is played, and chunks wait.
        muted: parts whose devices were lost; nothing is commanded to them.
    """

    def __init__(self, node: RigNode, side: Side, player: Player):
        self.node = node
        self.side: Side = side
        self.player = player
        self.homing = False
        self.muted: set[Part] = set()
        self._measured = Measured(node, node.rig, side)
        self._chunks = _chunk_streams(node, side, player.joints)
        names = {part: node.rig.joint_names(side, part) for part in PARTS}
        topic = topics.command_dry if node.rig.motion.dry_run else topics.command
        self._topics = {part: node.publisher(topic(side, part)) for part in PARTS}
        self._messages = {part: CommandMessage(joints) for part, joints in names.items()}
        self._split = len(names["arm"])
        self._tracking = Tracking(names["arm"])
        self._home = np.array(list(node.rig.start(side).values()))
        self._home_ns = 0

    def release(self) -> None:
        """The side's player has forgotten everything; the next chunk starts from the measured
        pose.
        """
        self.homing = False
        self.muted.clear()
        self._tracking.forget()

    def label(self, part: Part) -> str:
        """`left arm`"""
        return f"{self.side} {part}"

    def forget_times(self) -> None:
        """The clock was set: what was stamped before says nothing of when."""
        self.player.forget_times()
        self.homing = False
        self._home_ns = 0

    def measured(self, now_ns: int, reset: Reset) -> np.ndarray | None:
        """Where the side is [N] rad; None where that is not known freshly."""
        return self._measured.pose(now_ns, reset.began_ns)

    def strayed(self, now_ns: int, reset: Reset) -> str:
        """Why a side in motion must not go on, '' where it may; called regularly."""
        measured = self.measured(now_ns, reset)
        if measured is None:
            return f"{self.side}: its joint states are older than {self.node.rig.motion.stale_s} s"
        if not self.player.started:
            return ""
        arm = slice(self._split)
        strayed = self._tracking.strayed(now_ns / SECOND, self.player.position[arm], measured[arm])
        return f"{self.side}: {strayed}" if strayed else ""

    def take_chunks(self, now_ns: int, reset: Reset, authority: Authority, plays: bool) -> None:
        """Offers the chunks that came to the player; where nothing `plays` they are counted."""
        valid_since_ns = max(reset.began_ns, self._home_ns)
        for stream in self._chunks:
            for message in stream.reader.every():
                discarded = convert.nanoseconds(message.header.stamp) < valid_since_ns
                if discarded or self.homing or not plays:
                    self.node.health.counts[f"{self.side} chunks ignored"] += 1
                    continue
                try:
                    self._offer(stream, message, now_ns, reset, authority)
                except XlvlaError as error:
                    stream.reader.refuse(error)

    def go_home(self, now_ns: int, here: np.ndarray) -> None:
        """Begins the way from where the side is [N] to where episodes start, whatever is played
        now.
        """
        self.player.go(
            way_home(here, self._home, self.player.bounds.velocity, CHUNK_HZ),
            CHUNK_HZ,
            now_ns / SECOND,
        )
        self.homing = True

    def _offer(
        self, stream: ChunkStream, message: Any, now_ns: int, reset: Reset, authority: Authority
    ) -> None:
        stamp_ns = convert.nanoseconds(message.header.stamp)
        try:
            authority.admit(stream.source)
            points, rate_hz = convert.points(message)
        except XlvlaError as error:
            reason = error.reason if isinstance(error, Refused) else "size"
            self.player.counts[f"refused: {reason}"] += 1
            raise
        measured = None if self.player.started else self.measured(now_ns, reset)
        names = list(message.joint_names)
        now_s = now_ns / SECOND
        self.player.offer(
            points,
            names,
            stamp_ns / SECOND,
            rate_hz,
            now_s,
            measured=measured,
            relative=stream.relative,
        )
        self.node.health.took(f"{self.side} observation to command", (now_ns - stamp_ns) / SECOND)

    def publish(self, now_ns: int, command: np.ndarray, origin: Origin) -> None:
        """Says the command [N] rad of this tick to the devices of the side."""
        if self.homing and not self.player.has_chunk(
            now_ns / SECOND
        ):  # what was decided on the way is of another place
            self.homing = False
            self._home_ns = now_ns
        for part, values in (("arm", command[: self._split]), ("hand", command[self._split :])):
            if part not in self.muted:
                self._topics[part].publish(self._messages[part].fill(now_ns, values, origin))


def _chunk_streams(node: RigNode, side: Side, joints: Sequence[str]) -> tuple[ChunkStream, ...]:
    """Whoever may send chunks to a side; an empty topic costs a look of a few microseconds."""
    form = forms.chunk(joints)
    named = [
        ChunkStream(source, False, Reader(node, topics.chunk(side, source), form))
        for source in SOURCES
    ]
    unnamed = ChunkStream("", False, Reader(node, topics.chunk(side), form))
    relative = ChunkStream("", True, Reader(node, topics.relative_chunk(side), form))
    return (*named, unnamed, relative)
