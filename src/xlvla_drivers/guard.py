"""The last line before a device: decides what is sent to it, whatever is asked.

What is sent is finite, within limits, and no further from what was sent before than a joint may move in that time. After
`anchor` (a link that was made, a fault that was cleared) the device is held where it was measured, and commands are
refused until one is near that pose.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from xlvla.errors import XlvlaError, unknown_line
from xlvla.hand import Limits

NEAR_RAD = 0.1
"""How far from the measured pose the first command after an anchor may be."""

STAMP_AHEAD_S = 0.05
"""How far ahead of the clock a stamp may be: more is a broken clock, not jitter."""

NOTICED_LAG_S = 0.02
"""A target that stays behind its command by what the speed limit covers in this time counts as limited."""


class Refused(XlvlaError):
    """A command that is not sent; `reason` is one word for counting."""

    def __init__(self, reason: str, line: str):
        super().__init__(f"command refused: {line}")
        self.reason = reason


class Guard:
    """What to send to one device of J joints, in joint angles.

    Args:
        joints: names a command must bear, the order of every vector here.
        limits: of what may be sent.
        stale_s: a command older than this is not followed; the last target sent is held.
        rate_hz: how often targets are sent. A pause longer than two periods moves nothing further than two periods would.

    Attributes:
        counts: accepted, limited, clipped, held, and 'refused: <reason>'.
        following: a command has been accepted since the last anchor.
        held: the last target sent [J] rad; None before the first anchor.
    """

    def __init__(self, joints: Sequence[str], limits: Limits, *, stale_s: float, rate_hz: float):
        self.joints, self.limits, self.stale_s = tuple(joints), limits, stale_s
        self._names = set(joints)
        self.counts: Counter[str] = Counter()
        self.following = False
        self.held: np.ndarray | None = None
        self._longest_s = 2.0 / rate_hz
        self._command, self._stamp_s = np.zeros(0), -math.inf
        self._void_s = -math.inf
        self._sent_s = 0.0

    def anchor(self, measured: np.ndarray, now_s: float) -> None:
        """The device is at `measured` [J]: it is held there, and whatever was commanded before `now_s` is void."""
        if measured.shape != (len(self.joints),) or not np.isfinite(measured).all():
            raise XlvlaError(f"the device must report {len(self.joints)} finite angles, got {measured.tolist()}")
        self.held, self.following = np.array(measured, dtype=float), False
        self._stamp_s, self._void_s = -math.inf, now_s
        self._sent_s = time.monotonic()

    def offer(self, command: Mapping[str, float], stamp_s: float, now_s: float) -> None:
        """Takes a command, rad by joint, of an age told by one clock; raises Refused with the reason."""
        try:
            self._take(self._in_order(command), stamp_s, now_s)
        except Refused as refusal:
            self.counts[f"refused: {refusal.reason}"] += 1
            raise

    def _in_order(self, command: Mapping[str, float]) -> np.ndarray:
        if set(command) != self._names:
            self._refuse_names(command)
        values = np.array([command[name] for name in self.joints], dtype=float)
        if not np.isfinite(values).all():
            bad = int(np.argmin(np.isfinite(values)))
            raise Refused("not finite", f"{self.joints[bad]} is {values[bad]}")
        return values

    def _refuse_names(self, command: Mapping[str, float]) -> None:
        for name in command:
            if name not in self.joints:
                raise Refused("names", unknown_line("joint", name, self.joints))
        missing = [name for name in self.joints if name not in command]
        raise Refused("names", f"joint '{missing[0]}' is missing" + (f" and {len(missing) - 1} more" if missing[1:] else ""))

    def _take(self, values: np.ndarray, stamp_s: float, now_s: float) -> None:
        if self.held is None:
            raise Refused("no device", "the device has not been reached yet")
        if not now_s - self.stale_s <= stamp_s <= now_s + STAMP_AHEAD_S:
            raise Refused("stale", f"its stamp is {now_s - stamp_s:.3f} s old, allowed are {self.stale_s} s")
        if stamp_s < self._void_s:
            raise Refused("void", "it was made before the device was at the pose that is held now")
        if stamp_s < self._stamp_s:
            raise Refused("order", f"its stamp is {self._stamp_s - stamp_s:.3f} s before that of the one being followed")
        clipped = np.clip(values, self.limits.lower, self.limits.upper)
        self._check_distance(clipped, self.held)
        self.counts["clipped"] += bool((clipped != values).any())
        self.counts["accepted"] += 1
        self._command, self._stamp_s, self.following = clipped, stamp_s, True

    def _check_distance(self, values: np.ndarray, held: np.ndarray) -> None:
        """A pose measured outside the limits is near what it is clipped to."""
        reach = self.limits.velocity * self.stale_s if self.following else np.full(len(values), NEAR_RAD)
        start = held if self.following else np.clip(held, self.limits.lower, self.limits.upper)
        beyond = np.abs(values - start) / reach
        if beyond.max() <= 1.0:
            return
        worst = int(np.argmax(beyond))
        where = f"{self.joints[worst]} = {values[worst]:.3f} rad is {abs(values[worst] - start[worst]):.3f} rad from "
        if self.following:
            raise Refused("jump", f"{where}the last target, further than it moves in {self.stale_s} s")
        raise Refused("far", f"{where}where it is held, and the first command must be within {NEAR_RAD} rad")

    def target(self, now_s: float) -> np.ndarray:
        """What to send now [J]: towards the command while it is fresh, else what was sent last. Counts as sent."""
        if self.held is None:
            raise XlvlaError("nothing may be sent before the device has said where it is")
        sent_s = time.monotonic()
        step_s, self._sent_s = min(sent_s - self._sent_s, self._longest_s), sent_s
        if not self.following or now_s - self._stamp_s > self.stale_s:
            self.counts["held"] += 1
            return self.held.copy()
        step = self.limits.velocity * step_s
        self.held = self.held + np.clip(self._command - self.held, -step, step)
        self.counts["limited"] += bool((np.abs(self._command - self.held) > self.limits.velocity * NOTICED_LAG_S).any())
        return self.held.copy()
