"""The last line before a device, real or simulated: decides what is sent to it, whatever is asked.

What is sent is a continuous motion within limits of position, velocity and acceleration. It is the
command where the command keeps these limits, else what follows it most closely; without a fresh
command it brakes to rest. After `anchor` (a link that was made, a fault that was cleared) the
device is held where it was measured, and commands are refused until one is near that pose.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from xlvla import topics
from xlvla.command_stream import CommandStream
from xlvla.errors import XlvlaError, unknown_line
from xlvla.follower import Follower
from xlvla.hand import JointLimits
from xlvla.rig import Rig
from xlvla.types import Part, Side

NEAR_RAD = 0.1
"""How far from the measured pose the first command after an anchor may be."""

STAMP_AHEAD_S = 0.05
"""How far ahead of the clock a stamp may be: more is a broken clock, not jitter."""

NOTICED_LAG_S = 0.02
"""A target that stays behind its command by what the speed limit covers in this time counts as
limited.
"""

HEADROOM = 1.1
"""Share of motion's acceleration limit that may be sent. Motion uses all of it; when its commands
are seen at other times than they were made for, a little more is needed to be where they are.
"""


class Refused(XlvlaError):
    """A command that is not sent; `reason` is one word for counting."""

    def __init__(self, reason: str, line: str):
        super().__init__(f"command refused: {line}")
        self.reason = reason


class Guard:
    """What to send to one device of J joints, in joint angles.

    One session (who commands, from one engagement to the next) is followed at a time: the first
    that is accepted after an anchor, or after no command was accepted for `stale_s` and the device
    is at rest. Others are refused meanwhile.

    Args:
        joints: names a command must bear, the order of every vector here.
        limits: of what may be sent.
        acceleration: limit [J] rad/s^2 of what may be sent.
        stale_s: a command older than this is not followed; the device brakes to rest and is held
            there.
        rate_hz: how often targets are sent. A pause longer than two periods moves nothing further
            than two periods would.
        clock: seconds that pass between targets; it never goes back.

    Attributes:
        counts: accepted, limited, clipped, held, and 'refused: <reason>'.
        following: commands are followed; False from an anchor, a stop or silence until the next
            accepted command.
        session: whose commands are followed; None while no session is.
        stopped: who stopped the device; None where it is not stopped.
        stop_stamp_ns: the stamp of the last stop; 0 where it had none.
        measured: the last measured pose [J] rad.
    """

    def __init__(
        self,
        joints: Sequence[str],
        limits: JointLimits,
        *,
        acceleration: np.ndarray,
        stale_s: float,
        rate_hz: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.joints = tuple(joints)
        self.limits = limits
        self.stale_s = stale_s
        self.counts: Counter[str] = Counter()
        self.following = False
        self.session: int | None = None
        self.stopped: str | None = None
        self.stop_stamp_ns = 0
        self.measured = np.zeros(len(self.joints))
        self._names = set(joints)
        self._stream = CommandStream(limits.velocity)
        self._follower = Follower(limits, acceleration, 1 / rate_hz)
        self._anchored = False
        # A target was asked for after a pause, and there was no anchor since.
        self._slept = False
        self._clock = clock
        self._period_s = 1 / rate_hz
        self._sent_s = 0.0
        self._valid_since_s = -math.inf
        self._offset_s = 0.0

    @property
    def held(self) -> np.ndarray | None:
        """The last target sent [J] rad; None before the first anchor."""
        return self._follower.position if self._anchored else None

    @property
    def at_rest(self) -> bool:
        """What is sent does not move."""
        return self._follower.at_rest

    @property
    def paused(self) -> bool:
        """Nothing was sent for so long that only a new measurement tells where the device is: true
        until the next anchor.
        """
        if not self._anchored:
            return False
        return self._slept or self._clock() - self._sent_s > self.stale_s

    def anchor(self, measured: np.ndarray) -> None:
        """The device is at `measured` [J], at rest: it is held there, and earlier commands are
        discarded.
        """
        self.observe(measured)
        self._follower.place(self.measured)
        self._anchored = True
        self._slept = False
        self._sent_s = self._clock()
        self._disengage()

    def observe(self, measured: np.ndarray) -> None:
        """Where the device is [J]. A first command may also be near this pose, since a grasp keeps
        fingers from where they are sent.
        """
        if measured.shape != (len(self.joints),) or not np.isfinite(measured).all():
            raise XlvlaError(
                f"the device must report {len(self.joints)} finite angles, got {measured.tolist()}"
            )
        self.measured = np.array(measured, dtype=float)

    def stop(self, by: str, stamp_ns: int = 0) -> None:
        """Brakes and holds, regardless of commands, until `release`; `stamp_ns` is the stop's."""
        if self.stopped is None:
            self.stopped = by
            self.stop_stamp_ns = stamp_ns
            self._disengage()

    def release(self) -> None:
        """Ends a stop. The device stays until a new command, made after this, is near it."""
        if self.stopped is not None:
            self.stopped = None
            self._disengage()

    def offer(
        self, command: Mapping[str, float], stamp_s: float, now_s: float, session: int = 0
    ) -> None:
        """Takes a command, rad by joint, of an age told by one clock; raises Refused with the
        reason.
        """
        try:
            self._take(self._in_order(command), stamp_s, now_s, session)
        except Refused as refusal:
            self.counts[f"refused: {refusal.reason}"] += 1
            raise

    def target(self) -> np.ndarray:
        """What to send now [J]: the command while it is fresh, else braking, then rest. Counts as
        sent.
        """
        if not self._anchored:
            raise XlvlaError("nothing may be sent before the device has reported its position")
        now_s = self._clock()
        gap_s = now_s - self._sent_s
        self._sent_s = now_s
        if gap_s > self.stale_s:  # whatever it was doing, by now it has long been at rest
            self._follower.halt()
            self._slept = True
            self._disengage()
        elif gap_s > 0:
            self._go_on(now_s, gap_s)
        return self._follower.position.copy()

    def _go_on(self, now_s: float, gap_s: float) -> None:
        dt = min(gap_s, 2 * self._period_s)
        fresh = now_s - self._stream.made_s <= self.stale_s
        if self.following and fresh:
            self._chase(now_s, dt)
        else:
            self._follower.brake(dt)
            self.counts["held"] += 1
        if gap_s > dt:  # a device that was sent nothing for longer has slowed meanwhile
            self._follower.slow(dt / gap_s)
        if self.following and not fresh and self.at_rest:
            self._disengage()

    def _chase(self, now_s: float, dt: float) -> None:
        """A step to where the command is now."""
        limits = self.limits
        position, velocity = self._stream.at(now_s)
        goal = np.clip(position, limits.lower, limits.upper)
        self._follower.follow(goal, velocity, dt)
        lag = np.abs(goal - self._follower.position)
        self.counts["limited"] += bool((lag > limits.velocity * NOTICED_LAG_S).any())

    def _disengage(self) -> None:
        """No session is followed; commands made until now are discarded."""
        self.following = False
        self.session = None
        self._valid_since_s = self._clock()
        self._stream.clear()

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
        raise Refused(
            "names",
            f"joint '{missing[0]}' is missing"
            + (f" and {len(missing) - 1} more" if missing[1:] else ""),
        )

    def _take(self, values: np.ndarray, stamp_s: float, now_s: float, session: int) -> None:
        if not self._anchored:
            raise Refused("no device", "the device has not been reached yet")
        if self.stopped is not None:
            raise Refused("stopped", f"stopped by {self.stopped}; {topics.MOTION_RESET} ends it")
        if self.session is not None and session != self.session:
            raise Refused("session", "another session is followed")
        received_s = self._clock()
        self._notice_clock(now_s - received_s)
        made_s = received_s - (now_s - stamp_s)
        self._check_stamp(stamp_s, now_s, made_s)
        clipped = np.clip(values, self.limits.lower, self.limits.upper)
        self._check_distance(clipped, self._follower.position)
        self.counts["clipped"] += bool((clipped != values).any())
        self.counts["accepted"] += 1
        self._stream.take(clipped, stamp_s, made_s)
        self.following = True
        self.session = session

    def _notice_clock(self, offset_s: float) -> None:
        """Stamps from before and after their clock was set do not compare."""
        if abs(offset_s - self._offset_s) > STAMP_AHEAD_S:
            self._stream.stamp_s = -math.inf
        self._offset_s = offset_s

    def _check_stamp(self, stamp_s: float, now_s: float, made_s: float) -> None:
        if not now_s - self.stale_s <= stamp_s <= now_s + STAMP_AHEAD_S:
            raise Refused(
                "stale", f"its stamp is {now_s - stamp_s:.3f} s old, allowed are {self.stale_s} s"
            )
        if made_s < self._valid_since_s:
            raise Refused(
                "discarded", "it was made before the device was at the pose that is held now"
            )
        if stamp_s < self._stream.stamp_s:
            raise Refused(
                "order",
                f"its stamp is {self._stream.stamp_s - stamp_s:.3f} s before that of the one being "
                "followed",
            )

    def _check_distance(self, values: np.ndarray, held: np.ndarray) -> None:
        """A pose measured outside the limits is near what it is clipped to."""
        if self.following:
            reach = self.limits.velocity * self.stale_s
            start = held
        else:
            between = np.clip(
                values, np.minimum(held, self.measured), np.maximum(held, self.measured)
            )
            reach = np.full(len(values), NEAR_RAD)
            start = np.clip(between, self.limits.lower, self.limits.upper)
        beyond = np.abs(values - start) / reach
        if beyond.max() <= 1.0:
            return
        worst = int(np.argmax(beyond))
        where = (
            f"{self.joints[worst]} = {values[worst]:.3f} rad is "
            f"{abs(values[worst] - start[worst]):.3f} rad from "
        )
        if self.following:
            raise Refused(
                "jump", f"{where}the last target, further than it moves in {self.stale_s} s"
            )
        raise Refused(
            "far", f"{where}where it is held, and the first command must be within {NEAR_RAD} rad"
        )


def part_guard(
    rig: Rig,
    side: Side,
    part: Part,
    limits: JointLimits,
    *,
    rate_hz: float,
    clock: Callable[[], float] = time.monotonic,
) -> Guard:
    """The guard of a part of a rig: with the acceleration limits of motion, and `HEADROOM`."""
    acceleration = HEADROOM * rig.acceleration(side, part)
    return Guard(
        rig.joint_names(side, part),
        limits,
        acceleration=acceleration,
        stale_s=rig.motion.stale_s,
        rate_hz=rate_hz,
        clock=clock,
    )
