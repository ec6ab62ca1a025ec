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

    def command(self, now_s: float) -> dict[str, float] | None:
        held = self._guard.held
        limits = self._guard.limits
        if held is None:
            return None
        if self._began_s is None or not self._guard.following:
            self._began_s = now_s
            self._start = np.clip(held, limits.lower, limits.upper)
            self._reach = np.clip(
                np.where(
                    self._start > (limits.lower + limits.upper) / 2, limits.lower, limits.upper
                )
                - self._start,
                -SWING_RAD,
                SWING_RAD,
            )
        way = (1 - np.cos(2 * np.pi * SWING_HZ * (now_s - self._began_s))) / 2
        return dict(
            zip(self._guard.joints, (self._start + way * self._reach).tolist(), strict=True)
        )


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
        self._forget()

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
        self._forget()
        before = Counter(self.link.device.counts)
        losses = self.link.counts["losses"]
        detected_s, reported, targets = self._suffer(fault)
        began_s = time.monotonic()
        recovery = self._recovery(losses)
        followed_s = self.followed_after()
        survived = {
            what: n - before[what]
            for what, n in self.link.device.counts.items()
            if what in SURVIVED and n > before[what]
        }
        return Outcome(
            self.name,
            fault,
            detected_s,
            reported or ", ".join(f"{n} {what}" for what, n in survived.items()),
            targets,
            self._largest,
            float((2 * self.guard.limits.velocity / self.rate_hz)[self._worst]),
            self._return,
            recovery,
            None if followed_s is None else max(followed_s - began_s, 0.0),
        )

    def _suffer(self, fault: str) -> tuple[float | None, str, int]:
        """When the fault was noticed, what was said, and how many targets were sent meanwhile."""
        targets = self._targets
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
        return reported_s or counted_s, reported, self._targets - targets

    def _survived(self) -> int:
        return sum(self.link.device.counts[what] for what in SURVIVED)

    def _recovery(self, losses: int) -> str:
        """Does what an operator has to do; what that was."""
        self.go_on(SETTLED_S)
        if self.link.counts["losses"] > losses:
            return "reconnected by itself"
        if self.link.status.level != "fault":
            return "went on by itself"
        asked = self.link.recover()
        for _ in self._ticks(PATIENCE_S):
            if asked.done():
                error = asked.exception()
                return f"recover: {error if error else asked.result()}"
        return "recover: no answer"

    def followed_after(self) -> float | None:
        """Goes on until commands have been followed for a moment; when that moment began [s,
        monotonic].
        """
        for _ in self._ticks(PATIENCE_S):
            if self._well_since_s is not None and time.monotonic() - self._well_since_s > SETTLED_S:
                return self._well_since_s
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
            self._due_s = max(self._due_s + 1 / self.rate_hz, time.monotonic() - 1 / self.rate_hz)
            time.sleep(max(self._due_s - time.monotonic(), 0.0))

    def _forget(self) -> None:
        self._largest = 0.0
        self._worst = 0
        self._targets = 0
        self._return = None
        self._last: np.ndarray | None = None
        self._gap = False

    def _watch(self) -> None:
        """Looks at what was sent in this turn."""
        well = self.guard.following and self.link.status.level == "ok" and bool(self.link.sent)
        self._well_since_s = (self._well_since_s or time.monotonic()) if well else None
        if not self.link.sent or self.link.state is None:
            self._last = None
            self._gap = True
            return
        sent = np.array(list(self.link.sent.values()))
        if self._gap:
            self._gap = False
            self._return = max(
                self._return or 0.0, float(np.abs(sent - self.link.state.position).max())
            )
        elif self._last is not None:
            steps = np.abs(sent - self._last)
            if steps.max() > self._largest:
                self._largest = float(steps.max())
                self._worst = int(np.argmax(steps))
        self._last = sent
        self._targets += 1
