"""Keeps one device connected: reads it, sends what the guard allows, and finds it again when it was
lost.

Everything here runs in one thread that may block: for as long as a driver's `read` and `write`
while the link is up, for seconds while it connects.
"""

from __future__ import annotations

import dataclasses
import queue
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Literal

import numpy as np

from xlvla import topics
from xlvla.errors import XlvlaError
from xlvla.guard import Guard, Refused
from xlvla_drivers import thread_clock
from xlvla_drivers.calibration import Calibration
from xlvla_drivers.device import LINK_TIMEOUT_S, Device, DeviceState, LinkLost
from xlvla_drivers.device_status import DeviceStatus, Refusals, faults_line

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 3.0
"""Between attempts to connect: doubled every time, by chance up to a fifth longer, so that devices
on one bus take turns.
"""

SETTLED_S = 0.2
"""After a pause of its own a driver listens for so long before it believes where the device is:
what comes first may be of before.
"""

REST_S = 1.0
"""The longest that a device is braked for before it is left."""

Condition = Literal["disconnected", "connecting", "up", "lost"]


class Link:
    """One device and its guard.

    Args:
        device: not yet connected.
        guard: what may be sent, in joint angles.
        calibration: between joint angles and the device's.
        on_change: called in this thread whenever `status` has changed, before anything that may
            block.
        second_writer: says who commands beside the session that is followed.

    Attributes:
        condition: of the connection.
        state: the newest report in joint angles, None before the first.
        sent: what the last step really sent, rad by the device's joint name, in joint angles; empty
            where nothing.
        counts: connections and losses; what the wire had to survive is in `device.counts`, what the
            guard did in `guard.counts`.
        took_s: duration of the last read and write.
    """

    def __init__(
        self,
        device: Device,
        guard: Guard,
        calibration: Calibration,
        on_change: Callable[[], None] = lambda: None,
        second_writer: Callable[[], str] = lambda: "second writer",
    ):
        self.device = device
        self.guard = guard
        self.calibration = calibration
        self._on_change = on_change
        self._second_writer = second_writer
        self.condition: Condition = "disconnected"
        self.state: DeviceState | None = None
        self.sent: dict[str, float] = {}
        self.counts: Counter[str] = Counter()
        self.took_s: dict[str, float] = {}
        self._refusals = Refusals()
        self._why = ""
        self._pause_s = FIRST_PAUSE_S
        self._next_s = 0.0
        self._recoveries: queue.SimpleQueue[Future[str]] = queue.SimpleQueue()
        self._last_status = DeviceStatus("fault", "")
        self._stopped = False
        self._received_s = 0.0
        self._woke_s: float | None = None

    @property
    def status(self) -> DeviceStatus:
        return dataclasses.replace(
            self._status(),
            stopped=self.guard.stopped,
            stop_stamp_ns=self.guard.stop_stamp_ns,
        )

    def _status(self) -> DeviceStatus:
        if self.condition != "up" or self.state is None:
            return DeviceStatus(
                "fault", f"{self.condition}: {self._why}" if self._why else self.condition
            )
        stopping = [fault for fault in self.state.faults if fault.stops]
        if stopping:
            return DeviceStatus("fault", f"stopped: {faults_line(stopping)}")
        if self.guard.stopped is not None:
            stopped = f"stopped by {self.guard.stopped}"
            return DeviceStatus("warning", f"{stopped}: holding until {topics.MOTION_RESET}")
        if self.state.faults:
            return DeviceStatus("warning", faults_line(self.state.faults))
        if self._refusals.line:
            return DeviceStatus("warning", self._refusals.line)
        return DeviceStatus(
            "ok", "following commands" if self.guard.following else "holding, ready for commands"
        )

    def step(self) -> DeviceState | None:
        """Looks after the device once; its new state, None where there is none."""
        self.sent = {}
        if self.condition != "up" and not self._connected():
            return None
        try:
            self._answer_recoveries()
            state = self._read()
            if not self._stopped and self._settled(state):
                self._write(state)
        except (XlvlaError, OSError) as error:
            self._lose(str(error))
            return None
        self._tell()
        return state

    def offer(
        self, command: Mapping[str, float], stamp_s: float, now_s: float, session: int = 0
    ) -> None:
        """A command for the guard, rad by joint name, of an age told by one clock; raises
        Refused.
        """
        try:
            self.guard.offer(command, stamp_s, now_s, session)
        except Refused as refusal:
            if refusal.reason == "session":
                refusal = Refused("session", self._second_writer())
            self._refusals.add(refusal)
            raise refusal from None
        self._refusals.accepted()

    def recover(self) -> Future[str]:
        """Asks, from any thread, that the device's faults be cleared; the answer comes from a later
        step.
        """
        asked: Future[str] = Future()
        self._recoveries.put(asked)
        return asked

    def rest(self, period_s: float) -> Iterator[DeviceState | None]:
        """Steps, one a period, that brake the device to rest within its limits, regardless of
        commands, until it rests.
        """
        moved = not self.guard.at_rest
        self.guard.stop("its driver, which ends")
        until_s = time.monotonic() + REST_S
        while moved and self.condition == "up" and time.monotonic() < until_s:
            yield self.step()
            if self.guard.at_rest:  # the device comes a little later
                until_s = min(until_s, time.monotonic() + SETTLED_S)
            time.sleep(period_s)

    def close(self) -> None:
        """Leaves the device as its manual asks."""
        if self.condition == "up":
            self.device.disconnect()
        self.condition = "disconnected"
        self._why = ""
        self._tell()

    def _connected(self) -> bool:
        """Tries to connect where it is time to; whether the device is there, held where it is."""
        self._refuse_recoveries()
        if time.monotonic() < self._next_s:
            return False
        if self.condition == "disconnected":
            self.condition = "connecting"
        self._tell()
        self.counts["attempts"] += 1
        try:
            self.device.connect()
            self.state = None
            state = self._reported()
            self.guard.anchor(state.position)
            self._woke_s = None
        except (XlvlaError, OSError) as error:
            if not (self.counts["connections"] or isinstance(error, (LinkLost, OSError))):
                raise  # a mistake in the rig, which trying again does not mend
            self._lose(str(error))
            return False
        self.condition = "up"
        self._why = ""
        self._pause_s = FIRST_PAUSE_S
        self.counts["connections"] += 1
        return True

    def _read(self) -> DeviceState:
        was_stopped = self._stopped
        state = self._reported()
        self.guard.observe(state.position)
        self._stopped = any(fault.stops for fault in state.faults)
        if (
            self._stopped or was_stopped
        ):  # it does not follow, so where it is now is where it is held
            self.guard.anchor(state.position)
        self.counts["stops"] += self._stopped and not was_stopped
        return state

    def _reported(self) -> DeviceState:
        began_s = time.monotonic()
        reported = self.device.read()
        self.took_s["read"] = time.monotonic() - began_s
        if self.state is None or reported.stamp_ns > self.state.stamp_ns:
            self._received_s = thread_clock.now_s()
        elif thread_clock.now_s() - self._received_s > LINK_TIMEOUT_S:
            raise LinkLost(f"its report is {(time.time_ns() - reported.stamp_ns) / 1e6:.0f} ms old")
        if not np.isfinite(reported.position).all():
            raise LinkLost(f"it reports angles that are no numbers: {reported.position.tolist()}")
        self.state = self.calibration.state(reported)
        return self.state

    def _settled(self, state: DeviceState) -> bool:
        """Whether it is known where the device is. After a pause it is held where it is found, and
        nothing of before counts.
        """
        if self._woke_s is None:
            if not self.guard.paused:
                return True
            self._woke_s = time.monotonic()
            self.counts["pauses"] += 1
        if time.monotonic() - self._woke_s < SETTLED_S:
            return False
        self._woke_s = None
        self.guard.anchor(state.position)
        return True

    def _write(self, state: DeviceState) -> None:
        began_s = time.monotonic()
        wanted = self.calibration.device(self.guard.target())
        if self.guard.paused:
            # The process stood still since then: the device rests by now, and a step would leap.
            return
        sent = self.device.write(dict(zip(self.device.joints, wanted.tolist(), strict=True)))
        self.took_s["write"] = time.monotonic() - began_s
        if not sent:  # it has stopped since it was read, and will say why
            self.guard.anchor(state.position)
            return
        angles = self.calibration.joint(np.array([sent[joint] for joint in self.device.joints]))
        self.sent = dict(zip(self.device.joints, angles.tolist(), strict=True))

    def _lose(self, why: str) -> None:
        """Says so first: what follows may block."""
        was_up = self.condition == "up"
        self.condition = "lost" if was_up or self.condition == "lost" else "connecting"
        self._why, self._stopped, self.guard.following = why, False, False
        self.counts["losses"] += was_up
        pause_s = self._pause_s * (1 + 0.2 * random.random())
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self._next_s = time.monotonic() + pause_s
        self._tell()
        self.device.disconnect()

    def _answer_recoveries(self) -> None:
        """Only of a device at rest: its driver tells it to stay where it is. Afterwards it is held
        where it is found.
        """
        while not self._recoveries.empty():
            asked = self._recoveries.get()
            if not (self._stopped or self.guard.at_rest):
                asked.set_exception(XlvlaError("it moves: stop it first"))
                continue
            try:
                asked.set_result(self.device.recover())
            except LinkLost as error:
                asked.set_exception(error)
                raise
            except XlvlaError as error:
                asked.set_exception(error)
            self._woke_s = time.monotonic()

    def _refuse_recoveries(self) -> None:
        while not self._recoveries.empty():
            self._recoveries.get().set_exception(
                XlvlaError(f"the device is not connected: {self._why or self.condition}")
            )

    def _tell(self) -> None:
        status = self.status
        if status != self._last_status:
            self._last_status = status
            self._on_change()
