"""An emulated xArm Gripper at the end of an emulated arm, behind that arm's controller."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np

from xlvla.hands.xarm_gripper import HAND
from xlvla.types import Side
from xlvla_drivers.arms.xarm7 import Options as ArmOptions
from xlvla_drivers.arms.xarm7 import split_address
from xlvla_drivers.emulators import xarm7
from xlvla_drivers.emulators.emulator import Faults
from xlvla_drivers.emulators.plant import Plant
from xlvla_drivers.hands import xarm_gripper_frames as wire
from xlvla_drivers.hands.xarm_gripper import Options

ADDRESS = xarm7.ADDRESS

_BLOCKED = 23
_OVER_CURRENT = 11
_LAG_BEHIND = 0.1  # rad a blocked gripper may stay behind
_MOVING_RAD_S = 0.01


class Emulator:
    """One gripper. Where no emulated arm runs at the address, a whole one is started there.

    `unplug` pulls the gripper off the arm, which stops the arm; `stall` blocks its fingers.
    """

    known_faults = ("unplug", "stall", "over_current")

    def __init__(self, address: str, side: Side, options: Options):
        self.joints = HAND.joint_names(side)
        limits = HAND.limits(side)
        self.plant = Plant(np.zeros(1), limits.lower, limits.upper, limits.velocity)
        self.counts: Counter[int] = Counter()
        self._fastest = limits.velocity
        self._address = address
        self._side: Side = side
        self._faults = Faults(self.known_faults)
        self._lock = threading.Lock()
        self._error = 0
        self._enabled = False
        self._mode = wire.POSITION_MODE
        self._arm: xarm7.Emulator | None = None
        self._own_arm: xarm7.Emulator | None = None

    def start(self) -> None:
        self._arm = xarm7.Emulator.running.get(split_address(self._address))
        if self._arm is None:
            self._arm = xarm7.Emulator(self._address, self._side, ArmOptions())
            self._arm.start()
            self._own_arm = self._arm
        self._arm.attach(self._answer)

    def stop(self) -> None:
        if self._arm is not None:
            self._arm.attach(None)
            self._arm = None
        if self._own_arm is not None:
            self._own_arm.stop()
            self._own_arm = None

    def inject(self, fault: str, on: bool = True) -> None:
        self._faults.inject(fault, on)

    @property
    def position(self) -> np.ndarray:
        with self._lock:
            self._advance()
            return self.plant.position.copy()

    def _answer(self, payload: bytes) -> bytes | None:
        """To what the controller passes on; None where the gripper hears or says nothing."""
        if "unplug" in self._faults:
            return None
        request = wire.SlaveRequest.decode(payload)
        if request is None:
            return None
        with self._lock:
            self._advance()
            if request.writes:
                known = self._write(request)
                return request.answer() if known else request.refusal()
            words = self._read(request)
            return request.refusal() if words is None else request.answer(words)

    def _read(self, request: wire.SlaveRequest) -> tuple[int, ...] | None:
        """Registers from one on; None where there are none."""
        if request.register == wire.POSITION and request.count == 2:
            return wire.long_words(wire.pulses(float(self.plant.position[0])))
        moving = int(abs(self.plant.velocity[0]) > _MOVING_RAD_S)
        known = {wire.STATUS: moving, wire.ERROR: self._error}
        if request.count != 1 or request.register not in known:
            return None
        return (known[request.register],)

    def _write(self, request: wire.SlaveRequest) -> bool:
        """Whether it knows the register."""
        words = request.words
        self.counts[request.register] += 1
        if request.register == wire.TARGET and len(words) == 2:
            self._go(wire.long_value(words))
        elif request.register == wire.ENABLE:
            self._enabled = bool(words[0]) and not self._error
            self.plant.halt()
        elif request.register == wire.MODE:
            self._mode = words[0]
        elif request.register == wire.SPEED:
            # How fast the fingers are at which speed of the motor is not published.
            self.plant.speed = self._fastest * min(words[0] / wire.FASTEST_RPM, 1.0)
        elif request.register == wire.CLEAR_ERROR:
            self._error = 0
        else:
            return False
        return True

    def _go(self, pulses: int) -> None:
        """Only in position mode, enabled and without an error."""
        if self._enabled and not self._error and self._mode == wire.POSITION_MODE:
            self.plant.command(np.array([wire.angle(pulses)]))

    def _advance(self) -> None:
        self.plant.stalled[0] = "stall" in self._faults
        self.plant.advance()
        if "over_current" in self._faults:
            self._fail(_OVER_CURRENT)
        behind = abs(self.plant.target - self.plant.position)[0]
        if "stall" in self._faults and behind > _LAG_BEHIND:
            self._fail(_BLOCKED)

    def _fail(self, error: int) -> None:
        """An error, unless there is one: the motor is off until it is cleared and enabled."""
        if not self._error:
            self._error = error
            self._enabled = False
            self.plant.halt()
