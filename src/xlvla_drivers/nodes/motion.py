"""Motion: the only writer of commands, whoever asks (policy, teleoperation, replay)."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.ros import convert, priority, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.measured import Measured
from xlvla.ros.node import RigNode, run
from xlvla.ros.reader import Reader
from xlvla.types import PARTS, Part, Side
from xlvla_drivers.motion.authority import Authority
from xlvla_drivers.motion.chunk import Refused
from xlvla_drivers.motion.guard import AHEAD_S, Guard
from xlvla_drivers.motion.lookout import Lookout
from xlvla_drivers.motion.pace import Beat, Pace
from xlvla_drivers.motion.player import LONGEST_STEP_S
from xlvla_drivers.motion.sides import side_player

RELATIVE = ":relative"

BLIND_S = 0.25
"""Without a look at the distances for so long nothing moves."""

RARELY = 4
"""What is said rarely (devices, sources) is listened to every so many ticks."""


@dataclass(frozen=True)
class Era:
    """The time since the last reset; what is stamped before it is void."""

    name: str = ""
    began_ns: int = 0


class SideStream:
    """One side: chunks and joint states in, commands out."""

    def __init__(self, node: RigNode, side: Side):
        self.node = node
        self.side: Side = side
        self.player = side_player(node.rig, side)
        self.started = False
        self.muted: set[Part] = set()
        self.position: np.ndarray | None = None
        self._measured = Measured(node, node.rig, side)
        self._chunks = Reader(node, topics.chunk(side))
        names = {part: node.rig.joint_names(side, part) for part in PARTS}
        topic = topics.command_dry if node.rig.motion.dry_run else topics.command
        self._topics = {part: node.publisher(topic(side, part)) for part in PARTS}
        self._messages = {part: convert.JointMessage(joints) for part, joints in names.items()}
        self._split = len(names["arm"])

    def release(self) -> None:
        """Forgets everything; the next chunk starts from the measured pose."""
        self.player.release()
        self.started, self.position = False, None
        self.muted.clear()

    def take_chunks(self, now_ns: int, era: Era, authority: Authority) -> None:
        while (message := self._chunks.next()) is not None:
            if not authority.moves or convert.nanoseconds(message.header.stamp) < era.began_ns:
                self.node.health.counts[f"{self.side} chunks ignored"] += 1
                continue
            try:
                self._offer(message, now_ns, era, authority)
            except XlvlaError as error:
                self.node.warn(f"/{self.side}/chunk: {error}")

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
        for part, values in (("arm", self.position[: self._split]), ("hand", self.position[self._split :])):
            if part not in self.muted:
                self._topics[part].publish(self._messages[part].fill(now_ns, values, frame=era.name))

    def where(self, now_ns: int, era: Era) -> np.ndarray | None:
        """The last command [N], or the measured pose before there is one; None where neither is known."""
        return self.position if self.started else self._measured.pose(now_ns, era.began_ns)

    def ahead(self, seconds: float, here: np.ndarray) -> np.ndarray:
        return self.player.ahead(seconds) if self.started else here


class MotionNode(RigNode):
    """The control loop has its own thread and the clock's deadlines; services only set what it looks at.

    A simulated rig starts engaged, hardware does not.
    """

    def __init__(self) -> None:
        super().__init__("motion")
        self._era: Era | None = None
        self._release = threading.Event()
        self._slowed_ns = 0

    def configure(self) -> None:
        # Here, so that every thread is hastened: an ordinary one could hold the interpreter's lock while it waits for a processor.
        self.health.fact("scheduling", priority.hasten())
        self._sides = [SideStream(self, side) for side in self.rig.sides]
        self._guard = Guard(self.rig)
        self._resets, self._sources = Reader(self, topics.RESET), Reader(self, topics.SOURCE)
        self._devices: list[tuple[SideStream, Part, Reader]] = [
            (side, part, Reader(self, topics.device(side.side, part))) for side in self._sides for part in PARTS
        ]
        self._authority = Authority(
            self.rig.sim is not None, () if self.rig.sim else (_label(side, part) for side, part, _ in self._devices)
        )
        self._era = None if self.rig.sim else Era()
        self.serve(topics.ESTOP, self._on_estop)
        self.serve(topics.MOTION_RESET, self._on_reset)
        self.serve(topics.ENGAGE, self._on_engage)

    def work(self, stop: threading.Event) -> None:
        self._lookout, self._pace = Lookout(self._guard, stop, priority.hasten), Pace()
        last_ns = asked_ns = 0
        for number, (now_ns, missed) in enumerate(self.clock.ticks(self.rig.motion.rate_hz, stop)):
            self.health.counts["deadlines missed"] += missed
            self.health.tick("control")
            if number % RARELY == 0:
                self._listen()
            self._forget_if_asked()
            if self._era is None:  # a simulation says where its time begins before anything may move
                continue
            self._tick(now_ns, self._era, min(max(now_ns - last_ns, 0) / SECOND, LONGEST_STEP_S))
            last_ns = now_ns
            if not 0 <= now_ns - asked_ns < SECOND / self.rig.motion.guard_hz:
                self._look_around(now_ns, self._era)
                asked_ns = now_ns
        self._count()

    def _tick(self, now_ns: int, era: Era, dt: float) -> None:
        beat = self._pace.step(self._allowed(now_ns), dt)
        self.health.counts["slowed ticks"] += beat.rate < 0.99
        for side in self._sides:
            side.take_chunks(now_ns, era, self._authority)
            side.command(now_ns, era, beat)

    def _allowed(self, now_ns: int) -> float:
        """The pace that the newest look at the distances allows."""
        if self._lookout.failure is not None:
            raise self._lookout.failure
        if self._lookout.answer is None or not -SECOND < now_ns - self._lookout.answer[0] < BLIND_S * SECOND:
            return 0.0
        return self._lookout.answer[1].pace

    def _look_around(self, now_ns: int, era: Era) -> None:
        here = [side.where(now_ns, era) for side in self._sides]
        poses = [pose for pose in here if pose is not None]
        if len(poses) < len(here):  # where a part is unknown nothing is known of its distances
            return
        ahead = [np.concatenate([side.ahead(s, pose) for side, pose in zip(self._sides, poses, strict=True)]) for s in AHEAD_S]
        self._lookout.ask(now_ns, np.concatenate(poses), ahead, self._pace.beat.rate)

    def _listen(self) -> None:
        """What devices say of themselves, and who may drive."""
        for side, part, reader in self._devices:
            while (message := reader.next()) is not None:
                level = int.from_bytes(message.level, "little") if isinstance(message.level, bytes) else int(message.level)
                if self._authority.hear(_label(side, part), level, message.message):
                    side.muted.add(part)  # what was commanded before is not where it will be found
                    self.health.counts["devices lost"] += 1
                    self.warn(f"{self._authority.state}: disengaged")
        source = self._sources.newest()
        if source is not None and self._authority.choose(source.data.strip()):
            for side in self._sides:
                side.player.hold()

    def _forget_if_asked(self) -> None:
        reset = self._resets.newest()
        if reset is not None:
            self._era = Era(reset.frame_id, convert.nanoseconds(reset.stamp))
        if reset is not None or self._release.is_set():
            self._release.clear()
            for side in self._sides:
                side.release()
        if not self._authority.moves:
            for side in self._sides:
                side.player.hold()

    def _on_estop(self, request: Any) -> str:
        self._authority.stop()
        return "stopped; /motion/reset ends it"

    def _on_reset(self, request: Any) -> str:
        self._authority.reset()
        self._release.set()
        return "reset; /motion/engage plays chunks again"

    def _on_engage(self, request: Any) -> str:
        if self._authority.engage(bool(request.data)):
            self._release.set()
        return "engaged" if request.data else "disengaged; the last command holds"

    def _report(self) -> None:
        self._count()
        super()._report()

    def _count(self) -> None:
        for side in getattr(self, "_sides", []):
            for what, count in dict(side.player.counts).items():
                self.health.counts[f"{side.side} {what}"] = count
        lookout = getattr(self, "_lookout", None)
        if lookout is not None and lookout.answer is not None:
            verdict = lookout.answer[1]
            self.health.fact("pace", f"{self._pace.beat.rate:.2f}")
            self.health.fact("nearest", f"{verdict.gap}: {1e3 * verdict.distance_m:.1f} mm")
        authority = getattr(self, "_authority", None)
        if authority is not None:
            (self.health.ok if authority.moves else self.health.warn)(authority.state)


def _label(side: SideStream, part: Part) -> str:
    return f"{side.side} {part}"


def main() -> None:
    run(MotionNode)


if __name__ == "__main__":
    main()
