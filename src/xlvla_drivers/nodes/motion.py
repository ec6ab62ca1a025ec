"""Motion: the only publisher of commands, for every source (policy, teleoperation, replay)."""

from __future__ import annotations

import json
import threading
from typing import Any

import numpy as np
from std_msgs.msg import String

from xlvla.errors import XlvlaError
from xlvla.ros import command_session, forms, priority, stop, topics
from xlvla.ros.convert import SECOND, Reset
from xlvla.ros.forms import Device
from xlvla.ros.main import run
from xlvla.ros.neighbours import Neighbours
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.types import PARTS, Part, Side
from xlvla_drivers.lost_time import LostTime
from xlvla_drivers.motion.authority import Authority
from xlvla_drivers.motion.passage import Passage
from xlvla_drivers.motion.rig_motion import RigMotion
from xlvla_drivers.ros.side_stream import SideStream

RARELY = 8
"""Rare topics (devices, sources, joint states) are read every this many cycles."""

LONGEST_STOP_S = 1.0
"""A stop from full speed takes less, of any joint."""


class MotionNode(RigNode):
    """The control loop has its own thread and the clock's deadlines; services only set what it
    looks at.

    A simulated rig starts engaged, hardware does not.
    """

    def __init__(self) -> None:
        super().__init__("motion")
        self._reset: Reset | None = None
        self._release = threading.Event()
        self._go_home = threading.Event()

    def configure(self) -> None:
        self.health.fact("scheduling", priority.hasten(processors=priority.PROCESSORS_OF_ONE))
        self._motion = RigMotion(self.rig)
        self._sides = [
            SideStream(self, side, player) for side, player in self._motion.players.items()
        ]
        self._status = self.publisher(topics.MOTION_STATUS)
        self._last_status = ""
        self._stopping, self._stops = (
            stop.StopPublisher(self, "motion"),
            Reader(self, topics.STOP.history(stop.KEPT), stop.FORM),
        )
        self._session = command_session.new_session()
        self._neighbours = Neighbours(self, self.rig)
        self._strangers = ""
        self._resets = (
            Reader(self, topics.RESET, forms.reset(self.clock.now_ns)) if self.rig.sim else None
        )
        self._sources = Reader(self, topics.SOURCE, forms.WORDS)
        self._devices: list[tuple[SideStream, Part, Reader[Device]]] = [
            (side, part, Reader(self, topics.device(side.side, part), forms.DEVICE))
            for side in self._sides
            for part in PARTS
        ]
        awaited = () if self.rig.sim else (side.label(part) for side, part, _ in self._devices)
        self._authority = Authority(self.rig.sim is not None, awaited)
        self._reset = None if self.rig.sim else Reset()
        self.serve(topics.ESTOP, self._on_estop)
        self.serve(topics.MOTION_RESET, self._on_reset)
        self.serve(topics.ENGAGE, self._on_engage)
        self.serve(topics.HOME, self._on_home)

    def work(self, stop: threading.Event) -> None:
        config = self.rig.motion
        simulated = self.rig.sim is not None
        now_ns = 0
        passage = Passage(config.rate_hz, simulated)
        lost = LostTime(config.rate_hz, simulated, config.stale_s)
        for number, (now_ns, missed) in enumerate(self.clock.ticks(self.rig.motion.rate_hz, stop)):
            self.health.counts["deadlines missed"] += missed
            self.health.tick("control")
            passed_s, clock_set = passage.tick(now_ns / SECOND, missed)
            if number % RARELY == 0:
                self._listen(now_ns)
                self._tell()
            self._read_resets()
            if lost_s := lost.tick(missed, passed_s):
                self._wake(lost_s)
            elif clock_set:
                self._forget_times(now_ns, clock_set)
            self._release_if_asked()
            if (
                self._reset is None
            ):  # a simulation says where its time begins before anything may move
                continue
            self._go_home_if_asked(now_ns, self._reset)
            plays = self._authority.moves and not self._release.is_set()
            for side in self._sides:
                side.take_chunks(now_ns, self._reset, self._authority, plays)
            self._command(now_ns, passed_s, self._reset)
        self._come_to_rest(passage, now_ns)
        self._count()

    def _command(self, now_ns: int, passed_s: float, reset: Reset) -> None:
        measured: dict[Side, np.ndarray | None] = {
            side.side: None if side.player.started else side.measured(now_ns, reset)
            for side in self._sides
        }
        commands = self._motion.step(now_ns / SECOND, passed_s, measured)
        self.health.counts["speed-scaled cycles"] += self._motion.pace.beat.rate < 0.99
        for side in self._sides:
            if side.side in commands:
                side.publish(
                    now_ns, commands[side.side], command_session.encode(self._session, reset.name)
                )

    def _come_to_rest(self, passage: Passage, last_ns: int) -> None:
        """The last commands of a node that ends: a stop within limits, at the deadlines that all
        commands have.
        """
        self._motion.hold()
        given_up = threading.Event()
        (
            patience := threading.Timer(LONGEST_STOP_S, given_up.set)
        ).start()  # a simulation's clock may stand still
        for now_ns, _ in self.clock.ticks(self.rig.motion.rate_hz, given_up):
            if self._reset is None or self._motion.rests:
                break
            missed = round((now_ns - last_ns) * self.rig.motion.rate_hz / SECOND) - 1
            passed_s, _ = passage.tick(now_ns / SECOND, missed)
            self._command(now_ns, passed_s, self._reset)
            last_ns = now_ns
        patience.cancel()

    def _listen(self, now_ns: int) -> None:
        """Reads device status and joint states, the selected source, and stops."""
        if any(message.stopped for message in self._stops.every()):
            self._authority.stop()
        for side, part, reader in self._devices:
            for message in reader.every():
                if (
                    message.stopped_by is not None
                ):  # a stop outlives the motion node that was told of it
                    self._authority.stop()
                if self._authority.on_status(side.label(part), message.level, message.text):
                    side.muted.add(part)  # what was commanded before is not where it will be found
                    self.health.counts["devices lost"] += 1
                    self.warn(f"{self._authority.state}: disengaged")
        if (
            self._reset is not None
            and self._authority.moves
            and any(side.player.started for side in self._sides)
        ):
            self._look_for_strays(now_ns, self._reset)
        source = self._sources.newest()
        if source is not None and self._authority.choose(source):
            self._motion.hold()

    def _look_for_strays(self, now_ns: int, reset: Reset) -> None:
        """Disengages where it is not known where the robot is, or it is not where it was
        commanded.
        """
        for side in self._sides:
            if strayed := side.strayed(now_ns, reset):
                self._authority.disengage(strayed)
                self.health.counts["strayed"] += 1
                self.warn(f"{strayed}: disengaged")

    def _tell(self) -> None:
        """Says at every change whether chunks are played, and whose."""
        state = "going home" if self._homing else self._authority.state
        status = {
            "plays": self._authority.moves and not self._homing,
            "state": state,
            "source": self._authority.driver or "",
        }
        if (text := json.dumps(status)) != self._last_status:
            self._last_status = text
            self._status.publish(String(data=text))

    @property
    def _homing(self) -> bool:
        return self._authority.moves and any(side.homing for side in self._sides)

    def _read_resets(self) -> None:
        if self._resets is None or (reset := self._resets.newest()) is None:
            return
        self._reset = reset
        self._forget()  # the simulated world is elsewhere: there is nothing to brake

    def _forget_times(self, now_ns: int, how: str) -> None:
        """Brakes and waits for chunks that bear the times of the clock as it is now."""
        self.warn(f"{how}: what was played is held")
        self.health.counts["clock was set"] += 1
        for side in self._sides:
            side.forget_times()
        if self._reset is not None and self._reset.began_ns > now_ns:
            self._reset = Reset(self._reset.name, now_ns)

    def _wake(self, lost_s: float) -> None:
        """Goes on after a pause in which drivers let go and braked: a chunk of before is old, and a
        command is not where a device is.
        """
        self.warn(f"motion was blocked for {lost_s:.1f} s: the chunks being played are dropped")
        self._forget()

    def _release_if_asked(self) -> None:
        """Brakes first: what is forgotten is at rest."""
        if self._release.is_set() or not self._authority.moves:
            self._motion.hold()
        if self._release.is_set() and self._motion.rests:
            self._forget()

    def _forget(self) -> None:
        self._release.clear()
        self._motion.release()
        for side in self._sides:
            side.release()

    def _go_home_if_asked(self, now_ns: int, reset: Reset) -> None:
        if not self._go_home.is_set():
            return
        self._go_home.clear()
        for side in self._sides:
            here = side.player.position if side.player.started else side.measured(now_ns, reset)
            if here is not None:
                side.go_home(now_ns, here)

    def _on_estop(self, request: Any) -> str:
        self._authority.stop()
        self._stopping.say(True, self.clock.now_ns())
        return f"stopped; {topics.MOTION_RESET.name} ends it"

    def _on_reset(self, request: Any) -> str:
        self._authority.reset()
        self._release.set()
        self._stopping.say(False, self.clock.now_ns())
        return f"reset; {topics.ENGAGE.name} plays chunks again"

    def _on_engage(self, request: Any) -> str:
        if self._authority.engage(bool(request.data)):
            self._release.set()
        return "engaged" if request.data else "disengaged; the last command holds"

    def _on_home(self, request: Any) -> str:
        if not self._authority.moves:
            raise XlvlaError(f"{self._authority.state}: only what is engaged goes home")
        now_ns = self.clock.now_ns()
        if self._reset is None or any(
            not side.player.started and side.measured(now_ns, self._reset) is None
            for side in self._sides
        ):
            raise XlvlaError("it is not known where the robot is: are all joint states fresh?")
        self._go_home.set()
        return "going home; chunks wait until it is there"

    def _report(self) -> None:
        self._count()
        self._look_for_strangers()
        super()._report()

    def _look_for_strangers(self) -> None:
        """Holds while another node commands the same devices, and reports its name as soon as it is
        known.
        """
        authority = getattr(self, "_authority", None)
        neighbours = getattr(self, "_neighbours", None)
        if authority is None or neighbours is None:
            return
        line = neighbours.line()
        if line:
            self.warn(line)
        if line and (authority.moves or self._strangers):
            authority.disengage(line)
        self._strangers = line

    def _count(self) -> None:
        for side in getattr(self, "_sides", []):
            for what, count in dict(side.player.counts).items():
                self.health.counts[f"{side.side} {what}"] = count
        motion = getattr(self, "_motion", None)
        if motion is not None and (verdict := motion.verdict) is not None:
            self.health.counts["braked before a distance"] = motion.braked
            self.health.fact("pace", f"{motion.pace.beat.rate:.2f}")
            self.health.fact("nearest", f"{verdict.gap}: {1e3 * verdict.distance_m:.1f} mm")
        authority = getattr(self, "_authority", None)
        if authority is not None:
            (self.health.ok if authority.moves else self.health.warn)(
                "going home" if self._homing else authority.state
            )


def main() -> None:
    run(MotionNode)


if __name__ == "__main__":
    main()
