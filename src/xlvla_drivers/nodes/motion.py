"""Motion: the only writer of commands, whoever asks (policy, teleoperation, replay)."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.ros import convert, priority, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.node import RigNode, run
from xlvla.ros.reader import Reader
from xlvla.types import PARTS, Side
from xlvla_drivers.motion.chunk import Refused
from xlvla_drivers.motion.sides import side_player


@dataclass(frozen=True)
class Era:
    """The time since the last reset; what is stamped before it is void."""

    name: str = ""
    began_ns: int = 0


class SideStream:
    """One side: chunks and joint states in, commands out."""

    def __init__(self, node: RigNode, side: Side):
        self.node, self.side = node, side
        self.player = side_player(node.rig, side)
        self.started = False
        self._chunks = Reader(node, topics.chunk(side))
        self._names = {part: node.rig.joint_names(side, part) for part in PARTS}
        self._measured = {part: Reader(node, topics.joint_states(side, part)) for part in PARTS}
        self._topics = {part: node.publisher(topics.command(side, part)) for part in PARTS}
        self._messages = {part: convert.JointMessage(names) for part, names in self._names.items()}

    def release(self) -> None:
        """Forgets everything; the next chunk starts from the measured pose."""
        self.player.release()
        self.started = False

    def take_chunks(self, now_ns: int, era: Era, accept: bool) -> None:
        while (message := self._chunks.next()) is not None:
            if not accept or convert.nanoseconds(message.header.stamp) < era.began_ns:
                self.node.health.counts[f"{self.side} chunks ignored"] += 1
                continue
            try:
                self._offer(message, now_ns)
            except XlvlaError as error:
                self.node.warn(f"/{self.side}/chunk: {error}")

    def _offer(self, message: Any, now_ns: int) -> None:
        stamp_ns = convert.nanoseconds(message.header.stamp)
        try:
            points, rate_hz = convert.points(message)
        except XlvlaError as error:
            self.player.counts["refused: size"] += 1
            raise Refused("size", str(error)) from None
        self.player.offer(points, list(message.joint_names), stamp_ns / SECOND, rate_hz, now_ns / SECOND)
        self.node.health.took(f"{self.side} observation to command", (now_ns - stamp_ns) / SECOND)

    def command(self, now_ns: int, era: Era) -> None:
        """Publishes the command of this tick; nothing before there is a chunk to play and a fresh pose to start from."""
        if not self.started:
            measured = self._pose(now_ns, era.began_ns) if self.player.has_chunk(now_ns / SECOND) else None
            if measured is None:
                return
            self._pose_at_start, self.started = measured, True
        position = self.player.command(now_ns / SECOND, self._pose_at_start)
        split = len(self._names["arm"])
        for part, values in (("arm", position[:split]), ("hand", position[split:])):
            self._topics[part].publish(self._messages[part].fill(now_ns, values, frame=era.name))

    def _pose(self, now_ns: int, void_ns: int) -> np.ndarray | None:
        """The measured pose [N] rad; None while a part has not reported freshly."""
        poses = []
        oldest_ns = max(void_ns, now_ns - round(self.node.rig.motion.stale_s * SECOND))
        for part, reader in self._measured.items():
            message = reader.newest()
            if message is None or convert.nanoseconds(message.header.stamp) < oldest_ns:
                return None
            poses.append(convert.positions(message, self._names[part]))
        return np.concatenate(poses)


class MotionNode(RigNode):
    """The control loop has its own thread and the clock's deadlines; services only set what it looks at.

    A simulated rig starts engaged, hardware does not.
    """

    def __init__(self) -> None:
        super().__init__("motion")
        self._stopped = False
        self._era: Era | None = None
        self._release = threading.Event()

    def configure(self) -> None:
        self._sides = [SideStream(self, side) for side in self.rig.sides]
        self._resets = Reader(self, topics.RESET)
        self._engaged = self.rig.sim is not None
        self._era = None if self.rig.sim else Era()
        self.serve(topics.ESTOP, self._on_estop)
        self.serve(topics.MOTION_RESET, self._on_reset)
        self.serve(topics.ENGAGE, self._on_engage)

    def work(self, stop: threading.Event) -> None:
        self.health.fact("scheduling", priority.hasten())
        for now_ns, missed in self.clock.ticks(self.rig.motion.rate_hz, stop):
            self.health.counts["deadlines missed"] += missed
            self.health.tick("control")
            self._forget_if_asked()
            if self._era is None:  # a simulation says where its time begins before anything may move
                continue
            for side in self._sides:
                side.take_chunks(now_ns, self._era, accept=self._engaged and not self._stopped)
                side.command(now_ns, self._era)
        self._count()

    def _forget_if_asked(self) -> None:
        reset = self._resets.newest()
        if reset is not None:
            self._era = Era(reset.frame_id, convert.nanoseconds(reset.stamp))
        if reset is not None or self._release.is_set():
            self._release.clear()
            for side in self._sides:
                side.release()
        if self._stopped or not self._engaged:
            for side in self._sides:
                side.player.hold()

    def _on_estop(self, request: Any) -> str:
        self._stopped = True
        return "stopped; /motion/reset ends it"

    def _on_reset(self, request: Any) -> str:
        self._stopped, self._engaged = False, False
        self._release.set()
        return "reset; /motion/engage plays chunks again"

    def _on_engage(self, request: Any) -> str:
        if request.data and self._stopped:
            raise XlvlaError("an e-stop is latched: call /motion/reset first")
        if request.data and not self._engaged:
            self._release.set()
        self._engaged = bool(request.data)
        return "engaged" if self._engaged else "disengaged; the last command holds"

    def _report(self) -> None:
        self._count()
        super()._report()

    def _count(self) -> None:
        for side in getattr(self, "_sides", []):
            for what, count in dict(side.player.counts).items():
                self.health.counts[f"{side.side} {what}"] = count
        state = "e-stop latched" if self._stopped else "engaged" if getattr(self, "_engaged", False) else "disengaged"
        (self.health.warn if self._stopped else self.health.ok)(state)


def main() -> None:
    run(MotionNode)


if __name__ == "__main__":
    main()
