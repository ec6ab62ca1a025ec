"""Stops a running rig in every way there is while it moves, and judges how it came to rest."""

from __future__ import annotations

import signal
from dataclasses import dataclass

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.guard import HEADROOM
from xlvla.kinematics import Kinematics
from xlvla.rig import Rig
from xlvla.robot import rig_description
from xlvla.ros import convert, topics
from xlvla.ros.convert import SECOND
from xlvla.run import NodeDied
from xlvla.types import CHUNK_HZ, Part, Side, scoped
from xlvla_cli.bench.ros.running_rig import LOOK_S, RunningRig
from xlvla_cli.bench.ros.stop_rows import Moving, Row, Stop
from xlvla_drivers import rest
from xlvla_drivers.motion.limits import Bounds
from xlvla_drivers.motion.sides import side_player
from xlvla_drivers.ros.watch import Key

SPEED = {"slow": 0.8, "fast": 2.5, "both": 2.5}
"""How fast the joint of an arm turns that brings its hand outwards from home [rad/s]: there it
comes near nothing.
"""

OUTWARDS = 0.5
"""Such a joint moves the hand outwards at least by this share of what any of the arm's joints
does.
"""

TURNED_RAD = 0.01
"""How far joints are turned to find it."""

OUT_RAD = 0.8
"""An arm that has turned further than this from home turns back."""

FAR_RAD = 2.0
"""An arm that is further from home goes there first."""

HAND_SHARE = 0.25
CLOSED = 0.9
"""How fast hands open, as a share of their speed limits, and how far they are closed before, as a
share of their range.
"""

REACHED = 0.9
"""A motion is under way at this share of its speed."""

ROGUE_RAD_S = 2.0
ROGUE_S = 0.5
ROGUE_HZ = 200.0
AHEAD_S = 0.035
"""How fast, how long, how often and how far ahead of the clock a rogue node commands the first arm
to turn.
"""

ROGUE_SETTLES_S = 0.6
"""How long the arm is watched after that."""

ROGUE_RAD = 0.02
"""An arm that goes further has followed the rogue node."""

SETTLES_S = 1.5
"""How much longer a device is watched that is not at rest when it should be."""

TRIES = 3
"""A device may be lost that nobody has touched, on a machine that is too busy to answer for it."""

BACK_RAD_S = 0.5
"""The fastest that what stood still may return to where it was commanded last."""

ROUNDING = 0.01
"""Stamps are in nanoseconds, so that accelerations and jerks of commands are known to this share of
their limits.
"""

MEASURED = 1.5
"""A device may accelerate by this much more than what is sent to it: it lags, and is only known by
its reports.
"""


def outward_joint(rig: Rig, side: Side) -> tuple[int, float]:
    """The first joint of an arm that brings its hand outwards at home, and with which sign."""
    names = rig.joint_names(side, "arm")
    flange = scoped(side, "arm", rig.arm(side).flange)
    kinematics = Kinematics(rig_description(rig), names)
    home = np.array([rig.start(side)[name] for name in names])
    poses = [home, *(home + TURNED_RAD * row for row in np.eye(len(names)))]
    across = np.array([kinematics.fk(pose, [flange])[flange][1, 3] for pose in poses])
    outwards = (across[1:] - across[0]) * (1.0 if side == "left" else -1.0)
    joint = int(np.argmax(np.abs(outwards) >= OUTWARDS * np.abs(outwards).max()))
    return joint, float(np.sign(outwards[joint]))


@dataclass(frozen=True)
class Observation:
    """A stop that was tried.

    Args:
        stopped_s: when, by the clock of the stamps.
        returned_s: when what stood still went on; None where nothing stood still.
    """

    stop: Stop
    stopped_s: float
    returned_s: float | None


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
        # Of each side, the joint that turns, and its sign outwards.
        self._joint: dict[Side, int] = {}
        self._outwards: dict[Side, float] = {}
        for side in self.rig.sides:
            self._joint[side], self._outwards[side] = outward_joint(self.rig, side)
        self._arm = {side: len(self.rig.joint_names(side, "arm")) for side in self.rig.sides}
        self._first: Side = next(iter(self.rig.sides))

    def row(self, stop: Stop, moving: Moving, rogue: bool = False) -> Row:
        """Moves the rig, stops it, watches it and judges; anew where the machine lost a device
        meanwhile, which is a stop of another kind.
        """
        for _ in range(TRIES - 1):
            row = self._tried(stop, moving, rogue)
            if not self._lost_untouched(stop):
                return row
        return self._tried(stop, moving, rogue)

    def _tried(self, stop: Stop, moving: Moving, rogue: bool) -> Row:
        who = "a stranger, too" if rogue else "motion"
        row = Row(stop.name, moving, who)
        try:
            self._try(row, stop, moving, rogue)
        except NodeDied:
            raise
        except XlvlaError as error:
            row.faults.append(str(error))
            # A node does not answer: the next row begins with a new motion node.
            self.running.motion.kill(signal.SIGKILL)
        return row

    def _lost_untouched(self, stop: Stop) -> bool:
        """Whether a device was lost that the stop has nothing to do with."""
        touched = {" ".join(key) for key in self._lost(stop)}
        for name, lines in self.watch.devices.items():
            if name not in touched and any(line.startswith("lost: ") for line in lines):
                return True
        return False

    def _lost(self, stop: Stop) -> set[Key]:
        """The parts whose devices are lost: the arms of a humanoid are one device."""
        if not stop.lost:
            return set()
        whole = self.rig.body is not None and stop.lost == "arm"
        sides: list[Side] = list(self.rig.sides) if whole else [self._first]
        return {(side, stop.lost) for side in sides}

    def _try(self, row: Row, stop: Stop, moving: Moving, rogue: bool) -> None:
        self._set_in_motion(moving, stop.frames)
        stopped_s = self.running.now_s()
        returned_s = stop.do(self.running)
        if rogue:
            self._command_as_rogue()
        self.running.pass_s(stop.lasts_s)
        self._wait_for_rest()
        observation = Observation(stop, stopped_s, returned_s)
        for key in self.rig.parts:
            self._judge_commands(row, observation, key)
            self._judge_measured(row, observation, key)
        if rogue and stop.binds and self._followed_rogue():
            row.faults.append("a stranger moved it")
        row.reported = self._reported()
        stop.after(self.running)

    def _wait_for_rest(self) -> None:
        """A device that is behind, on a machine that is too busy, gets some more time."""
        give_up_s = self.running.now_s() + SETTLES_S
        while not self._rests() and self.running.now_s() < give_up_s:
            self.running.pause(LOOK_S)

    def _rests(self) -> bool:
        return all(rest.rests(self.watch.measured(key)) for key in self.rig.parts)

    def _set_in_motion(self, moving: Moving, frames: int) -> None:
        said: list[str] = []
        for _ in range(TRIES):
            if self._moved(moving, frames):
                return
            said.append(", ".join(self._reported()) or self.watch.state)
        raise XlvlaError(
            f"in {TRIES} tries it never moved as commanded; after each: {'; '.join(said)}"
        )

    def _moved(self, moving: Moving, frames: int) -> bool:
        """Engages, and sets the rig in motion; whether it moves as commanded."""
        if not self._engages():
            return False
        if self._is_far():
            self.running.go_home()
        if moving == "hands":
            self._close_hands()
        self.running.pass_s(0.1)
        self.watch.cut()
        self.running.lines.clear()
        return self._move(moving, frames)

    def _engages(self) -> bool:
        """Whether motion answers; where it does not, the next try begins with a new one.

        A killed node may leave the middleware's shared memory so that its successor, on the same
        ports, is not heard for a while.
        """
        try:
            self.running.engage()
        except NodeDied:
            raise
        except XlvlaError:
            self.running.motion.kill(signal.SIGKILL)
            return False
        return True

    def _is_far(self) -> bool:
        """Whether an arm is so far from home that it might come near something, which slows it."""
        for side in self.rig.sides:
            away = self.running.here(side) - self._home[side]
            if np.abs(away[: self._arm[side]]).max() > FAR_RAD:
                return True
        return False

    def _close_hands(self) -> None:
        for side in self.rig.sides:
            bound = self.bounds[side]
            here = self.running.here(side)
            goal = here.copy()
            hand = slice(self._arm[side], None)
            lower, upper = self.rig.hand(side).command_range(side)
            goal[hand] = lower + CLOSED * (upper - lower)
            share = np.minimum(np.arange(1, 25) / 16, 1.0)[:, None]
            points = here + share * (goal - here)
            self.running.chunk(side, np.clip(points, bound.lower, bound.upper))
        self.running.pass_s(1.4)

    def _velocity(self, side: Side, moving: Moving, here: np.ndarray) -> np.ndarray:
        """How fast the joints of a side are to go [N] rad/s."""
        velocity = np.zeros(len(here))
        if moving == "hands":
            hand = slice(self._arm[side], None)
            velocity[hand] = -HAND_SHARE * self.bounds[side].velocity[hand]
        elif moving == "both" or side == self._first:
            joint = self._joint[side]
            outwards = self._outwards[side]
            turned = outwards * (here[joint] - self._home[side][joint])
            direction = -outwards if turned > OUT_RAD else outwards
            velocity[joint] = direction * SPEED[moving]
        return velocity

    def _move(self, moving: Moving, frames: int) -> bool:
        """Sends chunks that move evenly, and waits until the commands do; whether they did."""
        velocities: dict[Side, np.ndarray] = {}
        for side in self.rig.sides:
            here = self.running.here(side)
            velocity = self._velocity(side, moving, here)
            if velocity.any():
                velocities[side] = velocity
                bound = self.bounds[side]
                points = here + velocity / CHUNK_HZ * np.arange(1, frames + 1)[:, None]
                self.running.chunk(side, np.clip(points, bound.lower, bound.upper))
        give_up_s = self.running.now_s() + frames / CHUNK_HZ
        under_way = False
        while not under_way and self.running.now_s() < give_up_s:
            self.running.pause(LOOK_S)
            under_way = all(self._moves(side, wanted) for side, wanted in velocities.items())
        return under_way

    def _moves(self, side: Side, velocity: np.ndarray) -> bool:
        """Whether the commands of the part that is to move have nearly this velocity [N] rad/s."""
        part: Part = "arm" if velocity[self._joint[side]] else "hand"
        wanted = np.abs(velocity[self._joints(side, part)])
        reached = self.watch.speed((side, part)) >= REACHED * wanted
        return bool(reached.any(where=wanted != 0))

    def _joints(self, side: Side, part: str) -> slice:
        """The joints of a part among those of its side."""
        split = self._arm[side]
        return slice(split) if part == "arm" else slice(split, None)

    def _command_as_rogue(self) -> None:
        """Commands the first arm as if no other node did, from where it is."""
        side = self._first
        topic = topics.command(side, "arm")
        message = convert.JointMessage(self.rig.joint_names(side, "arm"))
        now_ns = self.running.clock.now_ns()
        self.running.send(topic, message.fill(now_ns, self.watch.pose((side, "arm"))))
        pose = self.watch.pose((side, "arm")).copy()
        began_s = self.running.now_s()
        while (passed_s := self.running.now_s() - began_s) < ROGUE_S:
            if passed_s > 0:
                here = self.watch.pose((side, "arm"))[self._joint[side]]
                pose[self._joint[side]] = here + ROGUE_RAD_S * AHEAD_S
            stamp_ns = self.running.clock.now_ns() + round(AHEAD_S * SECOND)
            self.running.send(topic, message.fill(stamp_ns, pose))
            self.running.pause(1 / ROGUE_HZ)
        self.running.pass_s(ROGUE_SETTLES_S)
        self.running.unpublish(topic)

    def _limit(self, key: Key, name: str) -> np.ndarray:
        side, part = key
        values: np.ndarray = getattr(self.bounds[side], name)
        return values[self._joints(side, part)]

    def _judge_commands(self, row: Row, observation: Observation, key: Key) -> None:
        stop = observation.stop
        stream = self.watch.commands(key)
        label = " ".join(key)
        if stop.ends == "elsewhere":
            # Commands of before the reset that are still on their way bear the id before.
            after = self.watch.commands(key, self.watch.reset_id)
            if after.last_speed() > rest.RESTS_RAD_S:
                row.faults.append(f"{label}: moved in the new scene")
            stream = stream.between(-np.inf, self.watch.reset_s)
        acceleration = stream.share(2, self._limit(key, "acceleration"))
        jerk = stream.share(3, self._limit(key, "jerk"))
        last_speed = stream.last_speed()
        row.acceleration = max(row.acceleration, acceleration)
        row.jerk = max(row.jerk, jerk)
        row.last_speed = max(row.last_speed, last_speed)
        to_rest = stream.commands_to_rest(observation.stopped_s)
        if to_rest is not None:
            commands, rest_s = to_rest
            row.commands = max(row.commands or 0, commands)
            row.rest_s = max(row.rest_s or 0.0, rest_s)
        lost = key in self._lost(stop)
        if stop.ends == "rest" and not lost and last_speed > rest.RESTS_RAD_S:
            row.faults.append(f"{label}: commands end at {last_speed:.2f} rad/s")
        for name, share in (("acceleration", acceleration), ("jerk", jerk)):
            if share > 1 + ROUNDING:
                row.faults.append(f"{label}: commanded {name} {share:.2f} of its limit")

    def _judge_measured(self, row: Row, observation: Observation, key: Key) -> None:
        stop = observation.stop
        measured = self.watch.measured(key)
        label = " ".join(key)
        if stop.ends == "elsewhere":
            measured = measured.between(self.watch.reset_s)
        share = rest.measured_share(measured, HEADROOM * self._limit(key, "acceleration"))
        row.measured = max(row.measured, share)
        row.moved_rad = max(row.moved_rad, rest.moved(measured, observation.stopped_s))
        if share > MEASURED:
            row.faults.append(f"{label}: measured acceleration {share:.2f} of its limit")
        if not rest.rests(measured):
            row.faults.append(f"{label}: not at rest")
        if observation.returned_s is not None:
            back_rad_s = rest.fastest(measured, observation.returned_s)
            row.return_rad_s = max(row.return_rad_s or 0.0, back_rad_s)
            if back_rad_s > BACK_RAD_S and not stop.goes_on:
                row.faults.append(f"{label}: moves at {back_rad_s:.2f} rad/s afterwards")

    def _followed_rogue(self) -> bool:
        """Whether the first arm moved once it should have come to rest."""
        measured = self.watch.measured((self._first, "arm"))
        since_s = measured.times_s[-1] - ROGUE_S - ROGUE_SETTLES_S
        return rest.moved(measured, since_s) > ROGUE_RAD

    def _reported(self) -> list[str]:
        lines = [f"motion: {state}" for state in self.watch.status]
        for name, texts in self.watch.devices.items():
            lines += [f"{name}: {text}" for text in texts]
        for line in self.running.lines:
            if "WARN" in line or "ERROR" in line:
                lines.append(f"log: {line}")
        return lines
