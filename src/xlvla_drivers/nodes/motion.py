"""Motion: the only writer of commands, whoever asks (policy, teleoperation, replay)."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
from std_msgs.msg import String

from xlvla.errors import XlvlaError
from xlvla.ros import convert, priority, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.node import RigNode, run
from xlvla.ros.reader import Reader
from xlvla.types import PARTS, Part
from xlvla_drivers.motion.authority import Authority
from xlvla_drivers.motion.guard import AHEAD_S, Guard
from xlvla_drivers.motion.lookout import Lookout
from xlvla_drivers.motion.pace import Pace
from xlvla_drivers.motion.player import LONGEST_STEP_S
from xlvla_drivers.ros.side_stream import Era, SideStream

BLIND_S = 0.25
"""Without a look at the distances for so long nothing moves."""

RARELY = 4
"""What is said rarely (devices, sources) is listened to every so many ticks."""


class MotionNode(RigNode):
    """The control loop has its own thread and the clock's deadlines; services only set what it looks at.

    A simulated rig starts engaged, hardware does not.
    """

    def __init__(self) -> None:
        super().__init__("motion")
        self._era: Era | None = None
        self._release, self._go_home = threading.Event(), threading.Event()

    def configure(self) -> None:
        self.health.fact("scheduling", _hasten())
        self._sides = [SideStream(self, side) for side in self.rig.sides]
        self._guard = Guard(self.rig)
        self._status, self._said = self.publisher(topics.MOTION_STATUS), ""
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
        self.serve(topics.HOME, self._on_home)

    def work(self, stop: threading.Event) -> None:
        self._lookout, self._pace = Lookout(self._guard, stop, _hasten), Pace()
        last_ns = asked_ns = 0
        for number, (now_ns, missed) in enumerate(self.clock.ticks(self.rig.motion.rate_hz, stop)):
            self.health.counts["deadlines missed"] += missed
            self.health.tick("control")
            if number % RARELY == 0:
                self._listen()
                self._tell()
            self._forget_if_asked()
            self._go_home_if_asked(now_ns)
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

    def _tell(self) -> None:
        """Says at every change whether chunks are played, and whose."""
        state = "going home" if self._homing else self._authority.state
        status = {"plays": self._authority.moves and not self._homing, "state": state, "source": self._authority.driver or ""}
        if (said := json.dumps(status)) != self._said:
            self._said = said
            self._status.publish(String(data=said))

    @property
    def _homing(self) -> bool:
        return self._authority.moves and any(side.homing for side in self._sides)

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

    def _go_home_if_asked(self, now_ns: int) -> None:
        if self._go_home.is_set() and self._era is not None:
            self._go_home.clear()
            for side in self._sides:
                side.go_home(now_ns, self._era)

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

    def _on_home(self, request: Any) -> str:
        if not self._authority.moves:
            raise XlvlaError(f"{self._authority.state}: only what is engaged goes home")
        if self._era is None or any(side.where(self.clock.now_ns(), self._era) is None for side in self._sides):
            raise XlvlaError("it is not known where the robot is: are all joint states fresh?")
        self._go_home.set()
        return "going home; chunks wait until it is there"

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
            (self.health.ok if authority.moves else self.health.warn)("going home" if self._homing else authority.state)


def _hasten() -> str:
    """The one loop that is real-time even where processors are few: all devices wait for it."""
    return priority.hasten(processors=priority.PROCESSORS_OF_ONE)


def _label(side: SideStream, part: Part) -> str:
    return f"{side.side} {part}"


def main() -> None:
    run(MotionNode)


if __name__ == "__main__":
    main()
