"""One side of the motion node: chunks and joint states in, commands out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.publisher import Publisher

from xlvla.errors import XlvlaError
from xlvla.ros import convert, forms, topics
from xlvla.ros.command_session import CommandMessage, Origin
from xlvla.ros.convert import SECOND, Reset
from xlvla.ros.measured import Measured
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.types import CHUNK_HZ, SOURCES, Part, Side
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
    """The topics of one side of a rig, and the player that turns chunks into commands.

    Args:
        node: the motion node, configured.
        player: of the side.

    Attributes:
        homing: motion's own trajectory home is played, and chunks wait.
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
        parts = node.rig.parts_of(side)
        names = {part: node.rig.joint_names(side, part) for part in parts}
        topic = topics.command_dry if node.rig.motion.dry_run else topics.command
        self._publishers: dict[Part, Publisher] = {
            part: node.publisher(topic(side, part)) for part in parts
        }
        self._messages = {part: CommandMessage(joints) for part, joints in names.items()}
        # The arm's joints come first, the hand's after them.
        arm_joints = names.get("arm", ())
        arm = len(arm_joints)
        self._joints: dict[Part, slice] = {"arm": slice(arm), "hand": slice(arm, None)}
        self._tracking = Tracking(arm_joints)
        self._home = np.array(list(node.rig.start(side).values()))
        # When it was last home: chunks decided on before that are of another place.
        self._home_ns = 0

    def release(self) -> None:
        """The player was released; the next chunk starts from the measured pose."""
        self.homing = False
        self.muted.clear()
        self._tracking.forget()

    def label(self, part: Part) -> str:
        """`left arm`"""
        return f"{self.side} {part}"

    def forget_times(self) -> None:
        """The clock was set: earlier stamps are of another time."""
        self.player.forget_times()
        self.homing = False
        self._home_ns = 0

    def measured(self, now_ns: int, reset: Reset) -> np.ndarray | None:
        """Where the side is [N] rad; None where there are no fresh joint states."""
        return self._measured.pose(now_ns, reset.began_ns)

    def strayed(self, now_ns: int, reset: Reset) -> str:
        """Why a side in motion must not go on, '' where it may; to be called regularly."""
        measured = self.measured(now_ns, reset)
        if measured is None:
            return f"{self.side}: its joint states are older than {self.node.rig.motion.stale_s} s"
        if not self.player.started:
            return ""
        arm = self._joints["arm"]
        strayed = self._tracking.strayed(now_ns / SECOND, self.player.position[arm], measured[arm])
        if not strayed:
            return ""
        return f"{self.side}: {strayed}"

    def take_chunks(self, now_ns: int, reset: Reset, authority: Authority, plays: bool) -> None:
        """Offers the chunks that came to the player; where nothing `plays` it counts them."""
        valid_since_ns = max(reset.began_ns, self._home_ns)
        for stream in self._chunks:
            for message in stream.reader.every():
                discarded = convert.began_ns(message, now_ns) < valid_since_ns
                if discarded or self.homing or not plays:
                    self.node.health.counts[f"{self.side} chunks ignored"] += 1
                    continue
                if authority.waits(stream.source):
                    self.node.health.counts[f"{self.side} chunks while taken over"] += 1
                    continue
                try:
                    self._offer(stream, message, now_ns, reset, authority)
                except XlvlaError as error:
                    stream.reader.refuse(error)

    def go_home(self, now_ns: int, here: np.ndarray) -> None:
        """Moves from where the side is [N] rad to where episodes start, whatever is played now."""
        frames = way_home(here, self._home, self.player.bounds.velocity, CHUNK_HZ)
        self.player.go(frames, CHUNK_HZ, now_ns / SECOND)
        self.homing = True

    def _offer(
        self, stream: ChunkStream, message: Any, now_ns: int, reset: Reset, authority: Authority
    ) -> None:
        stamp_ns = convert.began_ns(message, now_ns)
        try:
            authority.admit(stream.source)
            points, rate_hz = convert.points(message, self.node.rig.motion.horizon_s)
        except XlvlaError as error:
            reason = error.reason if isinstance(error, Refused) else "size"
            self.player.counts[f"refused: {reason}"] += 1
            raise
        measured = None if self.player.started else self.measured(now_ns, reset)
        here = self.player.position if self.player.started else measured
        names = list(message.joint_names)
        if here is not None and not stream.relative:
            points, names = self._completed(points, names, here)
        self.player.offer(
            points,
            names,
            stamp_ns / SECOND,
            rate_hz,
            now_ns / SECOND,
            measured=measured,
            relative=stream.relative,
        )
        self.node.health.took(f"{self.side} observation to command", (now_ns - stamp_ns) / SECOND)

    def _completed(
        self, points: np.ndarray, names: list[str], here: np.ndarray
    ) -> tuple[np.ndarray, list[str]]:
        """Frames and names with those of a part of which none is named: it stays where it is, as
        the hand does while a planner moves the arm.
        """
        for joints in self._joints.values():
            of_part = self.player.joints[joints]
            if of_part and not set(of_part) & set(names):
                points = np.hstack([points, np.tile(here[joints], (len(points), 1))])
                names = [*names, *of_part]
        return points, names

    def publish(self, now_ns: int, command: np.ndarray, origin: Origin) -> None:
        """Publishes the command [N] rad of this cycle to the devices of the side."""
        if self.homing and not self.player.has_chunk(now_ns / SECOND):
            self.homing = False
            self._home_ns = now_ns
        for part, publisher in self._publishers.items():
            if part not in self.muted:
                joints = command[self._joints[part]]
                publisher.publish(self._messages[part].fill(now_ns, joints, origin))


def _chunk_streams(node: RigNode, side: Side, joints: Sequence[str]) -> tuple[ChunkStream, ...]:
    """All topics on which a side may receive chunks; to read one that is empty takes a few
    microseconds.
    """
    form = forms.chunk(joints)
    streams: list[ChunkStream] = []
    for source in SOURCES:
        reader = Reader(node, topics.chunk(side, source), form)
        streams.append(ChunkStream(source, relative=False, reader=reader))
    unnamed = Reader(node, topics.chunk(side), form)
    streams.append(ChunkStream("", relative=False, reader=unnamed))
    relative = Reader(node, topics.relative_chunk(side), form)
    streams.append(ChunkStream("", relative=True, reader=relative))
    return tuple(streams)
