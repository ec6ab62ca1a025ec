"""The one process that commands a G1, for the drivers of both its arms: `python -m
xlvla_drivers.arms.g1_server lo@1 '{}'`.

It takes the arms over where they are, by a weight that rises, and gives them back by one that falls
once no driver is left, or the robot's remote stops it. While the robot is silent nothing is sent
and the weight stays. When it stays silent this process ends, the arms left to the robot: the next
one takes up at full weight where the arms then are, since nobody knows which weight the robot still
has.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla.types import SIDES, Side
from xlvla_drivers.arms.g1 import (
    BYE,
    COUNTS,
    RECOVER,
    REPORT,
    RETURN_S,
    SENT,
    Options,
    shared,
    socket_path,
)
from xlvla_drivers.arms.g1_frames import ARM, WAIST
from xlvla_drivers.arms.g1_load import Load
from xlvla_drivers.arms.g1_robot import Robot
from xlvla_drivers.arms.target_follower import TargetFollower
from xlvla_drivers.device import LINK_TIMEOUT_S, LinkLost

_ACCELERATION = catalog.arm("g1").acceleration
"""With which an arm brakes whose driver has gone [rad/s^2]."""

PATIENCE_S = 1.0
"""How long drivers are waited for, to be told why there is no robot."""


class Server:
    """Drivers on one side, the robot on the other.

    Attributes:
        weight: of our commands against the robot's own, 0 to 1.
        held: where waist and legs were, and are held [29] rad.
        arms: the angles that are being sent of each arm.
        load: what the motors have to hold up.
        stopped: what stopped the arms, until a driver recovers them; '' where nothing did.
    """

    def __init__(self, address: str, options: Options):
        self.address = address
        self.options = options
        path = socket_path(address)
        self._engaged = path.with_suffix(".engaged")
        self._door = _door(path)
        self._arriving: list[socket.socket] = []
        self._waiting: dict[Side, socket.socket] = {}
        self._drivers: dict[Side, socket.socket] = {}
        self._parting: list[socket.socket] = []
        self._leaving = False
        self._until_s = 0.0
        self.weight = 0.0
        self.stopped = ""
        self.held = np.zeros(0)
        self.arms: dict[Side, TargetFollower] = {}
        self.load = Load()

    def run(self) -> None:
        """Until the last driver has gone, or the robot."""
        signal.signal(signal.SIGTERM, self._leave)
        try:
            self.robot = Robot(self.address, self.options)
            self.robot.wait()
            self._take_over()
            self._serve()
        except XlvlaError as error:
            self._refuse_all(error)

    def _take_over(self) -> None:
        self.held = self.robot.q.copy()
        for side in SIDES:
            here = self.held[ARM[side]]
            speed = np.full(len(here), self.options.speed)
            limits = dataclasses.replace(catalog.arm("g1").on(side).limits, velocity=speed)
            period_s = 1 / self.options.rate_hz
            self.arms[side] = TargetFollower(here, limits, _ACCELERATION, period_s)
        self.weight = 0.0
        if self._engaged.exists():
            # The arms hang on our commands, with hands in them: nothing may change by a step.
            self.weight = 1.0
            for side, hand in self._hands_before().items():
                self.load.take(side, hand)
            self.load.rise(1.0)
        self._note_hands()

    def _hands_before(self) -> dict[Side, str]:
        """What the arms carried that a server before this one has left; empty where it was not
        noted.
        """
        try:
            return json.loads(self._engaged.read_text())
        except ValueError:
            return {}

    def _note_hands(self) -> None:
        self._engaged.write_text(json.dumps(self.load.hands))

    def _serve(self) -> None:
        period_s = 1 / self.options.rate_hz
        next_s = time.monotonic()
        idle_s = time.monotonic()
        while self.robot.is_there():
            self._receive_state()
            if self._drivers or self._waiting or self._arriving:
                idle_s = time.monotonic()
            elif self.weight == 0 and time.monotonic() - idle_s > LINK_TIMEOUT_S:
                self._engaged.unlink(missing_ok=True)
                return
            if self.robot.is_reporting():
                self._step(period_s)
                commanded = self._commanded()
                self.robot.command(commanded, self.load.torques(commanded), self.weight)
                self._publish()
            else:
                self._pause()
            next_s = max(next_s + period_s, time.monotonic())
            time.sleep(max(next_s - time.monotonic(), 0.0))

    def _step(self, period_s: float) -> None:
        """Moves on weight and angles by one period. An arm with an error, or of a robot that has it
        back, is commanded to where it is.
        """
        self._look_for_stop()
        rise = period_s / self.options.ramp_s
        driven = self._drivers or self._waiting or time.monotonic() < self._until_s
        wanted = driven and not self.stopped
        self.weight = float(np.clip(self.weight + (rise if wanted else -rise), 0.0, 1.0))
        given_back = self.stopped and self.weight == 0
        for side, arm in self.arms.items():
            motors = ARM[side]
            if given_back or self.robot.errors[motors].any():
                arm.hold(self.robot.q[motors])
            arm.step(time.monotonic())
        self.load.rise(rise)

    def _look_for_stop(self) -> None:
        """A stop by the robot is latched, and the arms brake; who waits for them is told."""
        if self.robot.stopped and not self.stopped:
            self.stopped = self.robot.stopped
            for arm in self.arms.values():
                arm.brake()
        if self.stopped:
            for line in self._waiting.values():
                _say(line, _error(LinkLost(f"stopped by {self.stopped}")))
                line.close()
            self._waiting.clear()

    def _pause(self) -> None:
        """A silent robot stays at the last command: from there it goes on, at rest."""
        for arm in self.arms.values():
            arm.hold(arm.position)

    def _commanded(self) -> np.ndarray:
        """The angles that are to be sent [29] rad."""
        commanded = self.held.copy()
        for side, arm in self.arms.items():
            commanded[ARM[side]] = arm.position
        return commanded

    def _receive_state(self) -> None:
        """Takes what drivers want, and lets them out before others in: one may come back."""
        for side, line in [*self._waiting.items(), *self._drivers.items()]:
            with contextlib.suppress(BlockingIOError):
                self._take_targets(side, line)
        with contextlib.suppress(BlockingIOError):
            while not self._leaving:
                line, _ = self._door.accept()
                line.setblocking(False)
                self._arriving.append(line)
        for line in list(self._arriving):
            self._greet(line)

    def _take_targets(self, side: Side, line: socket.socket) -> None:
        """Takes all targets that a driver has sent; BlockingIOError ends it where it stays."""
        while True:
            data = _receive(line)
            if data == RECOVER:
                self.stopped = self.robot.stopped
                continue
            if len(data) != SENT.itemsize:
                self._part(side, wait_s=0.0 if data == BYE else RETURN_S)
                return
            message = np.frombuffer(data, SENT)[0]
            # Those on their way when it was stopped are of before.
            if self.weight == 1.0 and not self.stopped and np.isfinite(message["target"]).all():
                self.arms[side].follow(message["target"].astype(float), float(message["sent_s"]))

    def _greet(self, line: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            hello = _receive(line)
            self._arriving.remove(line)
            try:
                self._admit(line, json.loads(hello or b"{}"))
            except (XlvlaError, KeyError, ValueError) as error:
                _say(line, _error(error))
                line.close()

    def _admit(self, line: socket.socket, hello: dict[str, Any]) -> None:
        side = cast(Side, hello["side"])
        if hello["options"] != shared(self.options):
            raise XlvlaError(
                "the other arm of this robot is driven with other options: give both the same"
            )
        if side in self._drivers or side in self._waiting:
            raise XlvlaError(f"the {side} arm is driven by another process")
        self.load.take(side, hello["carries"])
        self._note_hands()
        self._waiting[side] = line
        self._close_parting()

    def _part(self, side: Side, wait_s: float) -> None:
        """The arm brakes and is held; without any driver for so long both are given back, and only
        then is the line closed.
        """
        self._until_s = time.monotonic() + wait_s
        self.arms[side].brake()
        line = self._waiting.pop(side, None) or self._drivers.pop(side)
        self._parting.append(line)
        if self._drivers or self._waiting:
            self._close_parting()

    def _close_parting(self) -> None:
        for line in self._parting:
            line.close()
        self._parting.clear()

    def _publish(self) -> None:
        """Sends every driver its arm's state; who waits begins once the arms are taken over."""
        if self.weight == 1.0:
            for side, line in self._waiting.items():
                _say(line, {"ready": True})
                self._drivers[side] = line
            self._waiting.clear()
        for side, line in self._drivers.items():
            # A driver that does not listen finds the newest when it does.
            with contextlib.suppress(OSError):
                line.send(self._report(side))

    def _report(self, side: Side) -> bytes:
        robot = self.robot
        motors = ARM[side]
        report = np.zeros((), REPORT)
        report["stamp_ns"] = robot.stamp_ns
        report["received_s"] = robot.received_s
        report["q"] = robot.q[motors]
        report["dq"] = robot.dq[motors]
        report["torque"] = robot.torque[motors]
        report["temperature"] = robot.temperature[motors]
        report["error"] = robot.errors[motors]
        report["waist"] = robot.q[WAIST]
        report["stopped"] = self.stopped.encode()
        report["weight"] = self.weight
        report["remote"] = robot.remote
        report["remote_lost"] = robot.remote_lost
        report["charge"] = np.nan
        if robot.battery is not None:
            report["charge"] = robot.battery["soc"]
            report["volts"] = robot.battery["bmsvoltage"][0] / 1000
            report["amperes"] = robot.battery["current"] / 1000
        report["counts"] = [robot.counts[name] for name in COUNTS]
        return report.tobytes()

    def _refuse_all(self, why: XlvlaError) -> None:
        """Tells the drivers; the one that started this process may not have come yet."""
        until_s = time.monotonic() + PATIENCE_S
        while not (self._arriving or self._waiting) and time.monotonic() < until_s:
            self._receive_state()
            time.sleep(0.01)
        for line in [*self._arriving, *self._waiting.values()]:
            _say(line, _error(why))

    def _leave(self, *_: object) -> None:
        """Told to end: drivers lose their link, the arms are given back."""
        self._leaving = True
        sides: list[Side] = [*self._drivers, *self._waiting]
        for side in sides:
            self._part(side, wait_s=0.0)


def _door(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    door.bind(str(path))
    door.listen()
    door.setblocking(False)
    return door


def _receive(line: socket.socket) -> bytes:
    """A message; empty when the other end is gone."""
    try:
        return line.recv(4096)
    except BlockingIOError:
        raise
    except OSError:
        return b""


def _error(error: Exception) -> dict[str, Any]:
    return {"error": str(error), "lost": isinstance(error, LinkLost)}


def _say(line: socket.socket, what: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        line.send(json.dumps(what).encode())


def _alone(path: Path) -> IO[str] | None:
    """A lock that only one server of a robot has, its process in it; None for any other."""
    lock = path.with_suffix(".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return None
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def main() -> None:
    address = sys.argv[1]
    options = Options(**json.loads(sys.argv[2]))
    path = socket_path(address)
    lock = _alone(path)
    if lock is not None:
        Server(address, options).run()
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
    os._exit(0)  # DDS takes seconds to take its leave
