"""Injects device faults and measures how the real driver, link and guard handle them, against the
device's emulator.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.guard import Guard, Refused, part_guard
from xlvla.rig import Rig
from xlvla.types import Part, Side
from xlvla_drivers import registry
from xlvla_drivers.calibration import Calibration, command_limits
from xlvla_drivers.link import Link

SWING_RAD = 0.4
SWING_HZ = 0.5
MOVING_S = 1.0
PATIENCE_S = 20.0
SETTLED_S = 0.3
SURVIVED = ("corrupt", "truncated", "duplicated", "late", "unexpected", "retries")
"""What a link counts and goes on after."""


@dataclass(frozen=True)
class Outcome:
    """What became of one fault.

    Args:
        detected_s: from the fault until the rig reports it, or until it is counted where it is
            survived; None where it went unnoticed.
        reported: what the rig reports, or what was counted.
        targets: how many targets were sent while it lasted.
        largest_step_rad: the furthest that two targets sent one after the other were apart, from
            first to last.
        allowed_step_rad: the furthest the guard lets the same joint go between two targets.
        return_step_rad: how far the first target after a reconnection or a stop was from the pose
            measured then; None without.
        recovery: what ended it.
        recovered_s: from the end of the fault until commands are followed again, None where they
            never were.
    """

    device: str
    fault: str
    detected_s: float | None
    reported: str
    targets: int
    largest_step_rad: float
    allowed_step_rad: float
    return_step_rad: float | None
    recovery: str
    recovered_s: float | None


class Swing:
    """A test command source: away from where the device is held and back, repeatedly; restarts
    whenever it is not followed.
    """

    def __init__(self, guard: Guard):
        self._guard = guard
        self._began_s: float | None = None
        self._start = np.zeros(len(guard.joints))
        self._reach = np.zeros(len(guard.joints))

    def command(self, now_s: float) -> dict[str, float] | None:
        """The joints' positions [rad] at a time; None while the device holds no pose."""
        held = self._guard.held
        if held is None:
            return None
        if self._began_s is None or not self._guard.following:
            self._began_s = now_s
            self._begin(held)
        share = (1 - np.cos(2 * np.pi * SWING_HZ * (now_s - self._began_s))) / 2
        positions = self._start + share * self._reach
        return dict(zip(self._guard.joints, positions.tolist(), strict=True))

    def _begin(self, held: np.ndarray) -> None:
        """From a pose [J] rad, each joint towards the limit that is further away."""
        limits = self._guard.limits
        middle = (limits.lower + limits.upper) / 2
        self._start = np.clip(held, limits.lower, limits.upper)
        furthest = np.where(self._start > middle, limits.lower, limits.upper)
        self._reach = np.clip(furthest - self._start, -SWING_RAD, SWING_RAD)


class Rehearsal:
    """One part of a rig on its emulator, as a context manager."""

    def __init__(self, rig: Rig, side: Side, part: Part):
        configured = registry.configured(rig, side, part)
        device = configured.device
        self.name = device.driver
        self.rate_hz = device.rate_hz
        self.emulator = registry.emulator(configured)
        driver = registry.open_device(configured)
        calibration = Calibration(driver.joints, device.calibration)
        limits = command_limits(rig, side, part, calibration)
        self.guard = part_guard(rig, side, part, limits, rate_hz=device.rate_hz)
        self.link = Link(driver, self.guard, calibration)
        self._swing = Swing(self.guard)
        self._due_s = time.monotonic()
        self._well_since_s: float | None = None
        self._record = Record()

    def __enter__(self) -> Rehearsal:
        self.emulator.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.link.close()
        self.emulator.stop()

    def run(self, fault: str) -> Outcome:
        """Moves, suffers the fault, mends it and waits until commands are followed again."""
        if self.followed_after() is None:
            raise XlvlaError(f"{self.name} does not follow its emulator: {self.link.status.line}")
        self.go_on(MOVING_S)
        self._record = Record()
        before = Counter(self.link.device.counts)
        losses = self.link.counts["losses"]
        detected_s, reported, targets = self._suffer(fault)
        ended_s = time.monotonic()
        recovery = self._recovery(losses)
        followed_s = self.followed_after()
        recovered_s = None
        if followed_s is not None:
            recovered_s = max(followed_s - ended_s, 0.0)
        record = self._record
        allowed_rad = 2 * self.guard.limits.velocity / self.rate_hz
        return Outcome(
            device=self.name,
            fault=fault,
            detected_s=detected_s,
            reported=reported or self._counted_since(before),
            targets=targets,
            largest_step_rad=record.largest_step_rad,
            allowed_step_rad=float(allowed_rad[record.worst_joint]),
            return_step_rad=record.return_step_rad,
            recovery=recovery,
            recovered_s=recovered_s,
        )

    def _counted_since(self, before: Counter[str]) -> str:
        """`2 corrupt, 1 late`: what was survived since."""
        counts: list[str] = []
        for name, count in self.link.device.counts.items():
            if name in SURVIVED and count > before[name]:
                counts.append(f"{count - before[name]} {name}")
        return ", ".join(counts)

    def _suffer(self, fault: str) -> tuple[float | None, str, int]:
        """When the fault was noticed [s after it], as what, and how many targets were sent
        meanwhile.
        """
        targets = self._record.targets
        counts = self._survived()
        began_s = time.monotonic()
        self.emulator.inject(fault)
        reported_s = None
        counted_s = None
        reported = ""
        for _ in self._ticks(MOVING_S):
            if reported_s is None and self.link.status.level != "ok":
                reported_s = time.monotonic() - began_s
                reported = self.link.status.line
            if counted_s is None and self._survived() > counts:
                counted_s = time.monotonic() - began_s
        self.emulator.inject(fault, False)
        return reported_s or counted_s, reported, self._record.targets - targets

    def _survived(self) -> int:
        return sum(self.link.device.counts[name] for name in SURVIVED)

    def _recovery(self, losses: int) -> str:
        """Does what an operator has to do; what that was."""
        self.go_on(SETTLED_S)
        if self.link.counts["losses"] > losses:
            return "reconnected by itself"
        if self.link.status.level != "fault":
            return "went on by itself"
        answer = self.link.recover()
        for _ in self._ticks(PATIENCE_S):
            if answer.done():
                error = answer.exception()
                return f"recover: {error or answer.result()}"
        return "recover: no answer"

    def followed_after(self) -> float | None:
        """Goes on until commands have been followed for a moment; when that moment began [s,
        monotonic].
        """
        for _ in self._ticks(PATIENCE_S):
            since_s = self._well_since_s
            if since_s is not None and time.monotonic() - since_s > SETTLED_S:
                return since_s
        return None

    def go_on(self, seconds: float) -> None:
        """Commands, reads and writes for so long."""
        for _ in self._ticks(seconds):
            pass

    def _ticks(self, seconds: float) -> Iterator[float]:
        """One turn of commanding, reading and writing per period."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            now_s = time.time()
            command = self._swing.command(now_s)
            if command is not None and self.link.condition == "up":
                with contextlib.suppress(Refused):
                    self.link.offer(command, now_s, now_s)
            self.link.step()
            self._watch()
            yield now_s
            # A turn that comes late is not made up for by a burst of others.
            period_s = 1 / self.rate_hz
            self._due_s = max(self._due_s + period_s, time.monotonic() - period_s)
            time.sleep(max(self._due_s - time.monotonic(), 0.0))

    def _watch(self) -> None:
        """Looks at what was sent in this turn."""
        link = self.link
        well = self.guard.following and link.status.level == "ok" and bool(link.sent)
        if not well:
            self._well_since_s = None
        elif self._well_since_s is None:
            self._well_since_s = time.monotonic()
        if not link.sent or link.state is None:
            self._record.nothing_sent()
        else:
            self._record.sent(np.array(list(link.sent.values())), link.state.position)


class Record:
    """The targets that were sent, and the steps between them.

    Attributes:
        targets: how many.
        largest_step_rad, worst_joint: the largest step from one to the next, and of which joint.
        return_step_rad: the largest step from a measured pose to the first target after none was
            sent; None without.
    """

    def __init__(self):
        self.targets = 0
        self.largest_step_rad = 0.0
        self.worst_joint = 0
        self.return_step_rad: float | None = None
        self._last: np.ndarray | None = None
        self._gap = False

    def nothing_sent(self) -> None:
        self._last = None
        self._gap = True

    def sent(self, target: np.ndarray, measured: np.ndarray) -> None:
        """Counts a target [J] rad that was sent at a measured pose [J] rad."""
        if self._gap:
            self._gap = False
            step_rad = float(np.abs(target - measured).max())
            self.return_step_rad = max(self.return_step_rad or 0.0, step_rad)
        elif self._last is not None:
            steps = np.abs(target - self._last)
            if steps.max() > self.largest_step_rad:
                self.largest_step_rad = float(steps.max())
                self.worst_joint = int(np.argmax(steps))
        self._last = target
        self.targets += 1
