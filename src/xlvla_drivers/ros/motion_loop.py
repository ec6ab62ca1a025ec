"""The control loop of the motion node: chunks and joint states in, commands out."""

from __future__ import annotations

import json
import math
import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
from std_msgs.msg import Header, String

from xlvla.control_source import OF_CHUNKS, TAKE_OVER
from xlvla.errors import XlvlaError
from xlvla.ros import command_session, convert, forms, stop, topics
from xlvla.ros.command_session import Origin
from xlvla.ros.convert import SECOND, Reset
from xlvla.ros.forms import Device
from xlvla.ros.neighbours import Neighbours
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.types import Part, Side
from xlvla_drivers.motion.authority import Authority
from xlvla_drivers.motion.lost_time import LostTime
from xlvla_drivers.motion.passage import Passage
from xlvla_drivers.motion.rig_motion import RigMotion
from xlvla_drivers.ros.side_stream import SideStream

RARELY = 8
"""Rare topics (devices, sources, joint states) are read every this many cycles."""

NAME = "motion"
"""Who stops, on `/motion/stop`."""

STOPS_KEPT = 100
"""How many of the last stops are known again."""

LONGEST_STOP_S = 1.0
"""A stop from full speed takes less, of any joint."""

LAST_WORD_S = 0.1
"""A node that ends commands the pose at rest for so long: with it ends what a driver that is kept
waiting has not read yet.
"""

FULL_PACE = 0.99
"""Cycles at a lower pace count as speed-scaled."""


@dataclass(frozen=True)
class DeviceReader:
    """The status topic of one device."""

    side: SideStream
    part: Part
    reader: Reader[Device]

    @property
    def label(self) -> str:
        return self.side.label(self.part)


class MotionLoop:
    """Plays chunks on a rig.

    `run` has its own thread and the clock's deadlines. The methods that services call only set what
    it looks at.
    """

    def __init__(self, node: RigNode):
        self._node = node
        self._rig = node.rig
        self._clock = node.clock
        self._health = node.health
        self._motion = RigMotion(node.rig)
        self._sides = [
            SideStream(node, side, player) for side, player in self._motion.players.items()
        ]
        self._status = node.publisher(topics.MOTION_STATUS)
        self._last_status = ""
        self._control_source = node.publisher(topics.CONTROL_SOURCE)
        self._last_control_source: str | None = None
        self._stop_publisher = stop.StopPublisher(node, NAME)
        self._stops = Reader(node, topics.STOP.history(stop.KEPT), stop.FORM)
        # The loop and services latch and read stops.
        self._stops_lock = threading.RLock()
        # Stamps of stops that were latched here, to know them when they come back.
        self._latched: deque[int] = deque(maxlen=STOPS_KEPT)
        self._session = command_session.new_session()
        self._neighbours = Neighbours(node, node.rig)
        self._strangers = ""
        self._sources = Reader(node, topics.SOURCE, forms.WORDS)
        self._take_overs = Reader(node, topics.TAKE_OVER, forms.SWITCH)
        self._devices: list[DeviceReader] = []
        for side in self._sides:
            for part in self._rig.parts_of(side.side):
                reader = Reader(node, topics.device(side.side, part), forms.DEVICE)
                self._devices.append(DeviceReader(side, part, reader))
        # What services ask for, until the loop has done it.
        self._release = threading.Event()
        self._resting_cycles = 0
        self._go_home = threading.Event()
        # A simulation has resets and no devices to wait for, and starts engaged; with hardware it
        # is the other way round.
        if self._rig.sim is None:
            awaited = [device.label for device in self._devices]
            self._authority = Authority(engaged=False, awaited=awaited)
            self._resets: Reader[Reset] | None = None
            self._reset: Reset | None = Reset()
        else:
            self._authority = Authority(engaged=True)
            self._resets = Reader(node, topics.RESET, forms.reset(node.clock.now_ns))
            self._reset = None

    def run(self, stop: threading.Event) -> None:
        """Cycles until `stop` is set, and comes to rest."""
        config = self._rig.motion
        simulated = self._rig.sim is not None
        passage = Passage(config.rate_hz, simulated)
        lost = LostTime(config.rate_hz, simulated, config.stale_s)
        now_ns = 0
        for number, (now_ns, missed) in enumerate(self._clock.ticks(config.rate_hz, stop)):
            self._health.counts["deadlines missed"] += missed
            self._health.tick("control")
            passed_s, clock_set = passage.tick(now_ns / SECOND, missed)
            if number % RARELY == 0:
                self._listen(now_ns)
                self._publish_status()
                self._publish_control_source(now_ns)
            self._read_resets()
            lost_s = lost.tick(missed, passed_s)
            if lost_s > 0:
                self._wake(lost_s)
            elif clock_set:
                self._forget_times(now_ns, clock_set)
            self._release_if_asked()
            # Nothing moves before a simulation has published when its time began.
            if self._reset is not None:
                self._play(now_ns, passed_s, self._reset)
        self._come_to_rest(passage, now_ns)
        self._count()

    def emergency_stop(self) -> None:
        """Stops all devices until a reset."""
        now_ns = self._clock.now_ns()
        self._latch(now_ns)
        self._stop_publisher.say(True, now_ns)

    def reset(self) -> None:
        """Ends all emergency stops up to now, disengaged."""
        with self._stops_lock:
            self._read_stops()
            self._authority.reset()
        self._release.set()
        self._stop_publisher.say(False, self._clock.now_ns())

    def engage(self, on: bool) -> None:
        """Engages or disengages; raises XlvlaError where motion may not be engaged."""
        if self._authority.engage(on):
            self._release.set()

    def go_home(self) -> None:
        """Moves to where episodes start; raises XlvlaError where it cannot."""
        if not self._authority.moves:
            raise XlvlaError(f"{self._authority.state}: only what is engaged goes home")
        if not self._knows_pose(self._clock.now_ns()):
            raise XlvlaError("it is not known where the robot is: are all joint states fresh?")
        self._go_home.set()

    def report(self) -> None:
        """Updates the node's status on /diagnostics; called once a second by another thread."""
        self._count()
        self._look_for_strangers()

    def _play(self, now_ns: int, passed_s: float, reset: Reset) -> None:
        """Takes the chunks that came and publishes the commands of this cycle."""
        self._go_home_if_asked(now_ns, reset)
        plays = self._authority.moves and not self._release.is_set()
        for side in self._sides:
            side.take_chunks(now_ns, reset, self._authority, plays)
        self._command(now_ns, passed_s, reset)

    def _command(self, now_ns: int, passed_s: float, reset: Reset) -> None:
        measured: dict[Side, np.ndarray | None] = {}
        for side in self._sides:
            if side.player.started:
                measured[side.side] = None
            else:
                measured[side.side] = side.measured(now_ns, reset)
        commands = self._motion.step(now_ns / SECOND, passed_s, measured)
        self._resting_cycles = self._resting_cycles + 1 if self._motion.rests else 0
        if self._motion.pace.beat.rate < FULL_PACE:
            self._health.counts["speed-scaled cycles"] += 1
        if self._motion.goes_alone:
            self._health.counts["cycles in which one side went alone"] += 1
        for side in self._sides:
            if side.side in commands:
                side.publish(now_ns, commands[side.side], Origin(self._session, reset.id))

    def _come_to_rest(self, passage: Passage, last_ns: int) -> None:
        """The last commands of a node that ends: a stop within limits, at the deadlines that all
        commands have.
        """
        rate_hz = self._rig.motion.rate_hz
        enough_cycles = rate_hz * LAST_WORD_S
        self._motion.hold()
        # A simulation's clock may stand still, so the real time is limited.
        given_up = threading.Event()
        patience = threading.Timer(LONGEST_STOP_S, given_up.set)
        patience.start()
        for now_ns, _ in self._clock.ticks(rate_hz, given_up):
            if self._reset is None or self._resting_cycles > enough_cycles:
                break
            missed = round((now_ns - last_ns) * rate_hz / SECOND) - 1
            passed_s, _ = passage.tick(now_ns / SECOND, missed)
            self._command(now_ns, passed_s, self._reset)
            last_ns = now_ns
        patience.cancel()

    def _listen(self, now_ns: int) -> None:
        """Reads stops, device status, joint states and the selected source."""
        self._read_stops()
        for device in self._devices:
            for status in device.reader.every():
                self._on_device(device, status)
        started = any(side.player.started for side in self._sides)
        if self._reset is not None and self._authority.moves and started:
            self._check_tracking(now_ns, self._reset)
        source = self._sources.newest()
        if source is not None and self._authority.choose(source):
            self._motion.hold()
        taken = self._take_overs.newest()
        if taken is not None and self._hand_over(taken):
            self._motion.hold()

    def _hand_over(self, taken: bool) -> bool:
        """Whether the robot changed hands between policy and operator."""
        if taken:
            changed = not self._homing and self._authority.take_over()
        else:
            changed = self._authority.give_back()
        self._health.counts["hand-overs"] += changed
        return changed

    def _read_stops(self) -> None:
        """Latches the stops of others; an own one is latched before it is published."""
        with self._stops_lock:
            for order in self._stops.every():
                own = order.by == NAME and self._was_latched(order.stamp_ns)
                if order.stopped and not own:
                    self._pass_on(order.stamp_ns)

    def _pass_on(self, stamp_ns: int) -> None:
        """Latches the stop of others and publishes it as motion's own: a driver that starts later
        is stopped, too, when those have ended.
        """
        with self._stops_lock:
            is_new = not self._authority.stopped
            self._latch(stamp_ns)
        if is_new:
            self.emergency_stop()

    def _latch(self, stamp_ns: int) -> None:
        with self._stops_lock:
            self._latched.append(stamp_ns)
            self._authority.stop()

    def _was_latched(self, stamp_ns: int) -> bool:
        """Whether this stop was latched here; False for one without a stamp."""
        with self._stops_lock:
            return stamp_ns != 0 and stamp_ns in self._latched

    def _on_device(self, device: DeviceReader, status: Device) -> None:
        # A stop outlives the motion node that received it. One that was latched here may have been
        # reset since, before the device that reports it knew.
        if status.stopped_by is not None and not self._was_latched(status.stop_stamp_ns):
            self._latch(status.stop_stamp_ns)
        if self._authority.on_status(device.label, status.level, status.text):
            # What was commanded before is not where the device will be found.
            device.side.muted.add(device.part)
            self._health.counts["devices lost"] += 1
            self._node.warn(f"{self._authority.state}: disengaged")

    def _check_tracking(self, now_ns: int, reset: Reset) -> None:
        """Disengages where it is not known where the robot is, or it is not where it was
        commanded.
        """
        for side in self._sides:
            strayed = side.strayed(now_ns, reset)
            # What is measured after a reset may be read before the reset, which was sent first.
            if strayed and self._read_resets():
                return
            if strayed:
                self._authority.disengage(strayed)
                self._health.counts["strayed"] += 1
                self._node.warn(f"{strayed}: disengaged")

    @property
    def _homing(self) -> bool:
        return self._authority.moves and any(side.homing for side in self._sides)

    @property
    def _state(self) -> str:
        return "going home" if self._homing else self._authority.state

    def _publish_status(self) -> None:
        """Publishes at every change whether chunks are played, and whose."""
        status = {
            "plays": self._authority.moves and not self._homing,
            "state": self._state,
            "source": self._authority.driver or "",
            "taken_over": self._authority.taken_over,
        }
        text = json.dumps(status)
        if text != self._last_status:
            self._last_status = text
            self._status.publish(String(data=text))

    def _publish_control_source(self, now_ns: int) -> None:
        """Publishes at every change who drives."""
        source = self._who_drives()
        # A simulation has not begun before its time is known.
        if source != self._last_control_source and now_ns >= 0:
            self._last_control_source = source
            self._control_source.publish(Header(stamp=convert.stamp(now_ns), frame_id=source))

    def _who_drives(self) -> str:
        """As `topics.CONTROL_SOURCE` has it."""
        if not self._authority.moves:
            return ""
        if self._homing:
            return "home"
        if self._authority.taken_over:
            return TAKE_OVER
        return OF_CHUNKS.get(self._authority.driver or "", "")

    def _read_resets(self) -> bool:
        """Whether the simulation was reset since the last call."""
        reset = None if self._resets is None else self._resets.newest()
        if reset is None:
            return False
        self._reset = reset
        # The simulated robot is elsewhere now: there is nothing to brake.
        self._forget()
        return True

    def _forget_times(self, now_ns: int, how: str) -> None:
        """Brakes and waits for chunks that are stamped by the clock as it is now."""
        self._node.warn(f"{how}: what was played is held")
        self._health.counts["clock was set"] += 1
        for side in self._sides:
            side.forget_times()
        if self._reset is not None and self._reset.began_ns > now_ns:
            self._reset = Reset(self._reset.id, now_ns)

    def _wake(self, lost_s: float) -> None:
        """Goes on after a pause in which drivers got no commands and braked: chunks from before it
        are old, and devices are not at their last commands.
        """
        self._node.warn(
            f"motion was blocked for {lost_s:.1f} s: the chunks being played are dropped"
        )
        self._forget()

    def _release_if_asked(self) -> None:
        """Brakes first: what is forgotten is at rest."""
        if self._release.is_set() or not self._authority.moves:
            self._motion.hold()
        if self._release.is_set() and (self._reset is None or self._rest_is_published):
            self._forget()

    @property
    def _rest_is_published(self) -> bool:
        """Whether the pose at rest was commanded twice: a stream that ends with the way to it ends
        with a speed.
        """
        return self._resting_cycles > 1

    def _forget(self) -> None:
        self._release.clear()
        self._motion.release()
        for side in self._sides:
            side.release()

    def _knows_pose(self, now_ns: int) -> bool:
        """Whether it is known where all sides are, by commands or by joint states."""
        if self._reset is None:
            return False
        for side in self._sides:
            if not side.player.started and side.measured(now_ns, self._reset) is None:
                return False
        return True

    def _go_home_if_asked(self, now_ns: int, reset: Reset) -> None:
        if not self._go_home.is_set():
            return
        self._go_home.clear()
        for side in self._sides:
            here = side.player.position if side.player.started else side.measured(now_ns, reset)
            if here is not None:
                side.go_home(now_ns, here)

    def _look_for_strangers(self) -> None:
        """Disengages while another node commands the same devices, and reports its name as soon as
        it is known.
        """
        line = self._neighbours.line()
        if line:
            self._node.warn(line)
        if line and (self._authority.moves or self._strangers):
            self._authority.disengage(line)
        self._strangers = line

    def _count(self) -> None:
        for side in self._sides:
            # A copy, because the loop goes on counting.
            for what, count in dict(side.player.counts).items():
                self._health.counts[f"{side.side} {what}"] = count
        verdict = self._motion.verdict
        if verdict is not None:
            self._health.counts["braked before a distance"] = self._motion.braked
            self._health.fact("pace", f"{self._motion.pace.beat.rate:.2f}")
            # Why the other stands still.
            self._health.fact("goes alone", self._motion.goes_alone or "none")
            if math.isfinite(verdict.distance_m):
                nearest = f"{verdict.gap}: {1e3 * verdict.distance_m:.1f} mm"
            else:
                nearest = verdict.gap
            self._health.fact("nearest", nearest)
        if self._authority.moves:
            self._health.ok(self._state)
        else:
            self._health.warn(self._state)
