"""Serves one Paxini DexH13 through the vendor's SDK, in a process of its own under the Python that
the SDK's wheels fit.

This file needs nothing but the standard library and pxdex, so any Python from 3.8 on can run it as
it lies here. It talks to `paxini.Driver` in lines of JSON over an inherited socket:

    to the driver     {"ready": side}, then at a steady rate {"state": {...}}; {"recovered": text or
    null}; at the end {"lost": why}, or
                      {"unusable": why} where trying again is of no use
    from the driver   {"target": 16 rad}, {"recover": true}

The states are its heart-beat. When the driver is gone the socket ends, and the motors are disabled.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import importlib
import json
import math
import os
import socket
import sys
import threading
import time
from typing import Any

LEFT = 1
"""What activeHandy says of a left hand."""
JOINTS = 4
"""Of a finger."""
ONLINE_S = 0.05
HEALTH_S = 0.1
GRACE_S = 2.0
"""An SDK call that takes longer while the driver is gone is cut short, with the process."""


class Link:
    """The socket to the driver; a thread listens."""

    def __init__(self, descriptor):
        self._socket = socket.socket(fileno=descriptor)
        self._lock = threading.Lock()
        self._asked = {}
        self.gone = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def say(self, **message):
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.gone.set()

    def take(self, what):
        """The newest of what was asked, None where nothing was."""
        with self._lock:
            return self._asked.pop(what, None)

    def _listen(self):
        with contextlib.suppress(OSError, ValueError):
            for line in self._socket.makefile("rb"):
                with self._lock:
                    self._asked.update(json.loads(line))
        self.gone.set()
        time.sleep(GRACE_S)
        os._exit(1)


class ServedHand:
    """One hand behind the SDK."""

    def __init__(self, sdk, options):
        self._sdk = sdk
        self._options = options
        self._control = sdk.DexH13Control()
        self._enabled = False
        # What is read beside the position, each in its turn and when it is due.
        self._turns: collections.deque[tuple[str, Any]] = collections.deque()
        self._period_s: dict[str, float] = {}
        self._due_s: dict[str, float] = {}
        self._add("online", self._online, ONLINE_S)
        self._add("faults", self._faults, HEALTH_S)
        tactile_s = 1 / options.tactile_hz if options.tactile_hz else math.inf
        self._add("tactile", self._tactile, tactile_s)
        self._add("temperature", self._temperature, max(tactile_s, 1.0))
        if options.detail:
            self._add("detail", self._detail, tactile_s)

    def _add(self, what, read, period_s):
        """Reads something periodically, at first at once; never where the period is infinite."""
        self._turns.append((what, read))
        self._period_s[what] = period_s
        self._due_s[what] = 0.0 if math.isfinite(period_s) else math.inf

    def open(self):
        """Which side's hand it is."""
        side = self._control.activeHandy(self._options.address, self._options.camera)
        if not self._control.isConnectHandy():
            raise RuntimeError("the hand does not answer")
        if self._options.home and not self._control.initMotorPosition():
            raise RuntimeError("the hand did not find its zero (initMotorPosition)")
        return "left" if side == LEFT else "right"

    def follow(self, target):
        """Goes to 16 rad; the motors are enabled only now, so that nothing is held before anybody
        says where.
        """
        if not self._enabled:
            self._enable()
        self._go(target)

    def _enable(self):
        mode = self._sdk.ControlMode.POSITION_CONTROL_MODE
        self._must(self._control.setMotorControlMode(mode), "setMotorControlMode")
        if self._options.max_speed:
            done = self._control.setMotorMaxSpeed(self._options.max_speed)
            self._must(done, "setMotorMaxSpeed")
        self._must(self._control.enableMotor(), "enableMotor")
        self._enabled = True

    def recover(self):
        """What was done; None where a fault remains."""
        if self._enabled:
            self._go(self._position())
        cleared = self._control.clearFaultCode()
        self._enabled = bool(self._control.isMotorEnabled())
        if self._control.isFault() or not cleared:
            return None
        return "cleared the fault codes"

    def look(self):
        """A state: always the position, and one thing of the rest when it is due, since every call
        may be slow.
        """
        state = {"position": self._position(), "at": time.monotonic(), "stamp": time.time_ns()}
        what, read = self._turns[0]
        self._turns.rotate(-1)
        if time.monotonic() >= self._due_s[what]:
            self._due_s[what] = time.monotonic() + self._period_s[what]
            state[what] = read()
        return state

    def close(self):
        for end in (self._control.disableMotor, self._control.disconnectHandy):
            with contextlib.suppress(Exception):
                end()

    def _go(self, target):
        if self._options.unit == "radian":
            self._control.setJointPositionsRadian(list(target))
            return
        fingers = []
        for first in range(0, len(target), JOINTS):
            fingers.append(self._finger(target[first : first + JOINTS]))
        self._control.setJointPositionsAngle(fingers)

    def _finger(self, angles):
        finger = self._sdk.FingerAngle()
        for number, angle in enumerate(angles, 1):
            setattr(finger, f"joint{number}", math.degrees(angle))
        return finger

    def _position(self):
        if self._options.unit == "radian":
            return [float(angle) for angle in self._control.getJointPositionsRadian()]
        angles = []
        for finger in self._control.getJointPositionsAngle():
            for number in range(1, JOINTS + 1):
                angles.append(math.radians(getattr(finger, f"joint{number}")))
        return angles

    def _tactile(self):
        return numbers(self._control.getFingerTactile())

    def _detail(self):
        return numbers(self._control.getFingerTactileDetail())

    def _temperature(self):
        return numbers(self._control.getTemperature())

    def _online(self):
        if not self._control.isConnectHandy():
            raise RuntimeError("the hand does not answer any more")
        return True

    def _faults(self):
        if not self._control.isFault():
            return []
        errors = []
        for error in self._control.getFaultCode():
            code = int(error.error_code)
            if code:
                errors.append((str(error.finger_name), str(error.motor_ID), code))
        # A fault without a code is one nevertheless.
        return errors or [("hand", "", 0)]

    @staticmethod
    def _must(done, what):
        if not done:
            raise RuntimeError("the hand refused " + what)


def numbers(value):
    """The SDK's forces and temperatures as lists of numbers; how deep it nests them is not known of
    every version.
    """
    if all(hasattr(value, axis) for axis in "xyz"):
        return [float(value.x), float(value.y), float(value.z)]
    if isinstance(value, (int, float)):
        return float(value)
    return [numbers(entry) for entry in value]


def load(name):
    """The SDK: a module's name or a file."""
    if not name.endswith(".py"):
        return importlib.import_module(name)
    folder, file = os.path.split(name)
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(file[: -len(".py")])
    finally:
        sys.path.remove(folder)


def serve(link, hand, period_s):
    next_s = time.monotonic()
    while not link.gone.is_set():
        target = link.take("target")
        if link.take("recover"):
            link.say(recovered=hand.recover())
        elif target is not None:
            hand.follow(target)
        link.say(state=hand.look())
        next_s = max(next_s + period_s, time.monotonic())
        time.sleep(max(next_s - time.monotonic(), 0.0))


def options():
    parser = argparse.ArgumentParser(description="serves one Paxini DexH13 to xlvla")
    parser.add_argument("address")
    parser.add_argument("descriptor", type=int)
    parser.add_argument("--sdk", default="pxdex.dh13")
    parser.add_argument("--camera", default="none")
    parser.add_argument("--unit", choices=("radian", "degree"), default="radian")
    parser.add_argument("--rate-hz", type=float, default=83.0)
    parser.add_argument("--tactile-hz", type=float, default=20.0)
    parser.add_argument("--max-speed", type=int, default=0)
    parser.add_argument("--detail", action="store_true")
    parser.add_argument("--home", action="store_true")
    return parser.parse_args()


def main():
    chosen = options()
    # The first entry is this folder, which is of another Python's package.
    sys.path.pop(0)
    link = Link(chosen.descriptor)
    hand = None
    try:
        hand = ServedHand(load(chosen.sdk), chosen)
        link.say(ready=hand.open())
        serve(link, hand, 1 / chosen.rate_hz)
    except ImportError as error:
        link.say(unusable=f"{sys.executable} has no SDK of the hand ({error})")
    except Exception as error:
        link.say(lost=f"{type(error).__name__}: {error}")
    if hand is not None:
        hand.close()


if __name__ == "__main__":
    main()
