"""Stops a running rig in every way there is while it moves, and says how it came to rest."""

from __future__ import annotations

import signal

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.guard import HEADROOM
from xlvla.ros import convert, topics
from xlvla.ros.convert import SECOND
from xlvla.run import NodeDied
from xlvla.types import CHUNK_HZ, Side
from xlvla_cli.bench.ros.running_rig import LOOK_S, RunningRig
from xlvla_cli.bench.ros.stop_rows import Row, Stop, What
from xlvla_drivers import rest
from xlvla_drivers.motion.limits import Bounds
from xlvla_drivers.motion.sides import side_player
from xlvla_drivers.ros.watch import Key

JOINT = 0
SPEED = {"slow": 0.8, "fast": 2.5, "both": 2.5}
"""The joint of an arm that turns, outwards from home and back, and how fast [rad/s]: it comes near
nothing.
"""

OUT_RAD = 0.8
"""An arm that has turned further than this from home turns back."""

HAND_SHARE = 0.25
CLOSED = 0.9
"""How fast hands open, as a share of their speed limits, and how far they are closed before, as a
share of their range.
"""

REACHED = 0.9
"""A motion is under way at this share of its speed."""

STRANGER_RAD_S = 2.0
STRANGER_S = 0.5
STRANGER_HZ = 200.0
AHEAD_S = 0.035
"""How fast, how long, how often and how far ahead of the clock a stranger commands the left arm to
turn.
"""

STRANGER_RAD = 0.02
"""A stranger who moves an arm further has moved it."""

TRIES = 3

BACK_RAD_S = 0.5
"""What stood still may take up this speed to where it was commanded last, and no more."""

ROUNDING = 0.01
"""Stamps are in nanoseconds, so that accelerations and jerks of commands are known to this share of
their limits.
"""

MEASURED = 1.5
"""A device may accelerate by so much more than what is sent to it: it lags, and is seen through its
reports.
"""


class StopTrial:
    """Tries stops on a rig that runs."""

    def __init__(self, running: RunningRig):
        self.running = running
        self.rig = running.rig
        self.watch = running.watch
        self.bounds: dict[Side, Bounds] = {
            side: side_player(self.rig, side).bounds for side in self.rig.sides
        }
        self._home = {
            side: np.array(list(self.rig.start(side).values())) for side in self.rig.sides
        }
        self._arm = {side: len(self.rig.joint_names(side, "arm")) for side in self.rig.sides}

    def row(self, stop: Stop, what: What, rogue: bool = False) -> Row:
        """Moves the rig, stops it, watches it and judges."""
        row = Row(stop.name, what, "a stranger, too" if rogue else "motion")
        try:
            self._try(row, stop, what, rogue)
        except NodeDied:
            raise
        except (
            XlvlaError
        ) as error:  # somebody does not answer: the next row begins with a new motion node
            row.faults.append(str(error))
            self.running.motion.kill(signal.SIGKILL)
        return row

    def _try(self, row: Row, stop: Stop, what: What, rogue: bool) -> None:
        running = self.running
        tries = 1
        while not self._under_way(
            what, stop.frames
        ):  # a device was lost, on a machine that is too busy: nothing was stopped yet
            tries += 1
            if tries > TRIES:
                raise XlvlaError(
                    f"in {TRIES} tries it was never found moving as told: {self.watch.state}"
                )
        stopped_s = running.now_s()
        returned_s = stop.do(running)
        if rogue:
            self._meddle()
        running.pass_s(stop.lasts_s)
        self._judge(row, stop, stopped_s, returned_s, rogue)
        stop.after(running)

    def _under_way(self, what: What, frames: int) -> bool:
        """Engages, and sets the rig in motion; whether it moves as told."""
        self.running.engage()
        if what == "hands":
            self._close_hands()
        self.running.pass_s(0.1)
        self.watch.cut()
        self.running.lines.clear()
        return self._move(what, frames)

    def _close_hands(self) -> None:
        for side in self.rig.sides:
            bound = self.bounds[side]
            here = self.running.here(side)
            goal = here.copy()
            hand = slice(self._arm[side], None)
            lower, upper = self.rig.hand(side).command_range(side)
            goal[hand] = lower + CLOSED * (upper - lower)
            share = np.minimum(np.arange(1, 25) / 16, 1.0)[:, None]
            self.running.chunk(
                side, np.clip(here + share * (goal - here), bound.lower, bound.upper)
            )
        self.running.pass_s(1.4)

    def _velocity(self, side: Side, what: What, here: np.ndarray) -> np.ndarray:
        """How fast the joints of a side are to go [N] rad/s."""
        velocity = np.zeros(len(here))
        if what == "hands":
            hand = slice(self._arm[side], None)
            velocity[hand] = -HAND_SHARE * self.bounds[side].velocity[hand]
        elif what == "both" or side == next(iter(self.rig.sides)):
            outwards = 1.0 if side == "left" else -1.0
            turned = outwards * (here[JOINT] - self._home[side][JOINT])
            velocity[JOINT] = (-outwards if turned > OUT_RAD else outwards) * SPEED[what]
        return velocity

    def _move(self, what: What, frames: int) -> bool:
        """Sends chunks that move evenly, and waits until the commands do; whether they did."""
        wanted: dict[Side, np.ndarray] = {}
        for side in self.rig.sides:
            here = self.running.here(side)
            wanted[side] = self._velocity(side, what, here)
            if wanted[side].any():
                way = wanted[side] / CHUNK_HZ * np.arange(1, frames + 1)[:, None]
                self.running.chunk(
                    side, np.clip(here + way, self.bounds[side].lower, self.bounds[side].upper)
                )
        moving: list[Side] = [side for side, velocity in wanted.items() if velocity.any()]
        give_up_s = self.running.now_s() + frames / CHUNK_HZ
        under_way = False
        while not under_way and self.running.now_s() < give_up_s:
            self.running.pause(LOOK_S)
            under_way = all(self._moves(side, wanted[side]) for side in moving)
        return under_way

    def _moves(self, side: Side, wanted: np.ndarray) -> bool:
        part = "arm" if wanted[JOINT] else "hand"
        there = wanted[: self._arm[side]] if part == "arm" else wanted[self._arm[side] :]
        times, speed = self.watch.commands((side, part)).differences(1)
        return len(times) > 0 and bool(
            (np.abs(speed[-1]) >= REACHED * np.abs(there)).any(where=there != 0)
        )

    def _meddle(self) -> None:
        """Commands the left arm as if nobody else did, from where it is."""
        side: Side = next(iter(self.rig.sides))
        topic = topics.command(side, "arm")
        message = convert.JointMessage(self.rig.joint_names(side, "arm"))
        self.running.send(
            topic, message.fill(self.running.clock.now_ns(), self.watch.newest[side, "arm"])
        )
        here = self.watch.newest[side, "arm"].copy()
        began_s = self.running.now_s()
        while (passed_s := self.running.now_s() - began_s) < STRANGER_S:
            here[JOINT] = (
                here[JOINT]
                if passed_s == 0
                else self.watch.newest[side, "arm"][JOINT] + STRANGER_RAD_S * AHEAD_S
            )
            stamp_ns = self.running.clock.now_ns() + round(AHEAD_S * SECOND)
            self.running.send(topic, message.fill(stamp_ns, here))
            self.running.pause(1 / STRANGER_HZ)
        self.running.pass_s(0.6)
        self.running.hush([topic.name])

    def _judge(
        self, row: Row, stop: Stop, stopped_s: float, returned_s: float | None, rogue: bool
    ) -> None:
        for key in self.rig.parts:
            self._commanded(row, stop, key, stopped_s)
            self._measured(row, stop, key, stopped_s, returned_s)
        if rogue and stop.binds and self._meddled(row):
            row.faults.append("a stranger moved it")
        row.reported = self._reported()

    def _limit(self, key: Key, name: str) -> np.ndarray:
        side, part = key
        values: np.ndarray = getattr(self.bounds[side], name)
        return values[: self._arm[side]] if part == "arm" else values[self._arm[side] :]

    def _commanded(self, row: Row, stop: Stop, key: Key, stopped_s: float) -> None:
        stream = self.watch.commands(key)
        label = " ".join(key)
        if stop.ends == "elsewhere":  # what comes after it begins anew
            after = self.watch.commands(
                key, self.watch.reset_id
            )  # those of before that are on their way bear the era before
            if after.last_speed() > rest.RESTS_RAD_S:
                row.faults.append(f"{label}: moved in the new world")
            stream = stream.between(-np.inf, self.watch.reset_s)
        row.acceleration = max(row.acceleration, stream.share(2, self._limit(key, "acceleration")))
        row.jerk = max(row.jerk, stream.share(3, self._limit(key, "jerk")))
        row.last_speed = max(row.last_speed, stream.last_speed())
        rest_of = stream.commands_to_rest(stopped_s)
        if rest_of is not None:
            row.commands = max(row.commands or 0, rest_of[0])
            row.rest_s = max(row.rest_s or 0.0, rest_of[1])
        lost = key == (next(iter(self.rig.sides)), stop.lost)
        if stop.ends == "rest" and not lost and stream.last_speed() > rest.RESTS_RAD_S:
            row.faults.append(f"{label}: commands end at {stream.last_speed():.2f} rad/s")
        for name, order in (("acceleration", 2), ("jerk", 3)):
            share = stream.share(order, self._limit(key, name))
            if share > 1 + ROUNDING:
                row.faults.append(f"{label}: commanded {name} {share:.2f} of its limit")

    def _measured(
        self, row: Row, stop: Stop, key: Key, stopped_s: float, returned_s: float | None
    ) -> None:
        measured = self.watch.measured(key)
        label = " ".join(key)
        if stop.ends == "elsewhere":
            measured = measured.between(self.watch.reset_s)
        share = rest.measured_share(measured, HEADROOM * self._limit(key, "acceleration"))
        row.measured = max(row.measured, share)
        row.moved_rad = max(row.moved_rad, rest.moved(measured, stopped_s))
        if share > MEASURED:
            row.faults.append(f"{label}: measured acceleration {share:.2f} of its limit")
        if not rest.rests(measured):
            row.faults.append(f"{label}: not at rest")
        if returned_s is not None:
            back_rad_s = rest.fastest(measured, returned_s)
            row.return_rad_s = max(row.return_rad_s or 0.0, back_rad_s)
            if back_rad_s > BACK_RAD_S and not stop.goes_on:
                row.faults.append(f"{label}: moves at {back_rad_s:.2f} rad/s afterwards")

    def _meddled(self, row: Row) -> bool:
        """Whether the left arm moved once it should have come to rest."""
        measured = self.watch.measured((next(iter(self.rig.sides)), "arm"))
        return rest.moved(measured, measured.times_s[-1] - STRANGER_S - 0.6) > STRANGER_RAD

    def _reported(self) -> list[str]:
        reported = [f"motion: {state}" for state in self.watch.status]
        for name, texts in self.watch.devices.items():
            reported += [f"{name}: {text}" for text in texts]
        return reported + [
            f"log: {line}" for line in self.running.lines if "WARN" in line or "ERROR" in line
        ]
