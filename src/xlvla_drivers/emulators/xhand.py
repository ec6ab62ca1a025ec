"""An emulated XHand1 on a serial port.

What is not known of the real hand, and a guess here: who an answer says it is from, what the
version's answer holds, what error codes mean and how its skin feels.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import numpy as np

from xlvla.hands.xhand import HAND
from xlvla.types import Side
from xlvla_drivers.emulators.emulator import Faults
from xlvla_drivers.emulators.plant import Plant
from xlvla_drivers.emulators.serial_port import WIRE_FAULTS, SerialPort
from xlvla_drivers.hands import xhand_frames as wire
from xlvla_drivers.hands.xhand import Options

WARM = 30
WARM_TIP = 25
HOT = 90
"""deg C"""
HOT_ERROR = 0x0002
_TIP_JOINTS = (2, 5, 7, 9, 11)
"""They carry the fingertips' sensors, thumb to little finger."""
_SENSOR_IDS = (0x11, 0x12, 0x13, 0x14, 0x15)
_STALLED = 4
_HOT = 2
_COUNTS_PER_MA = 0.1
_COUNTS = {"x": (-128, 127), "y": (-128, 127), "z": (0, 255)}
"""What a force's numbers can say."""


class Emulator:
    """One hand. `stall` blocks index_joint1, `over_temperature` stops and heats thumb_rota_joint2.

    Attributes:
        contact: raw forces [5, 3] on the fingertips, thumb to little finger.
        command: the newest command of every joint, of `xhand_frames.COMMAND`.
    """

    known_faults = (*WIRE_FAULTS, "stall", "over_temperature")

    def __init__(self, address: str, side: Side, options: Options):
        self.joints = HAND.joint_names(side)
        limits = HAND.limits(side)
        self._faults = Faults(self.known_faults)
        self._lock = threading.Lock()
        start = np.clip(np.zeros(wire.JOINTS), limits.lower, limits.upper)
        self.plant = Plant(start, limits.lower, limits.upper, limits.velocity)
        self.contact = np.zeros((len(wire.FINGERS), 3))
        self._id = options.hand_id
        self.command = np.zeros(wire.JOINTS, wire.COMMAND)
        self._received = bytearray()
        self._port = SerialPort(address, self._answer, self._faults, baud=wire.BAUD)

    def start(self) -> None:
        self._port.start()

    def stop(self) -> None:
        self._port.stop()

    def inject(self, fault: str, on: bool = True) -> None:
        self._faults.inject(fault, on)
        self._port.wake()

    @property
    def position(self) -> np.ndarray:
        with self._lock:
            self._live()
            return self.plant.position.copy()

    def _answer(self, data: bytes) -> Iterator[bytes]:
        self._received += data
        while (frame := wire.cut(self._received, Counter())) is not None:
            request = wire.parse(frame)
            addressed = request.destination in (self._id, wire.EVERY_HAND)
            if not addressed and self._id != wire.EVERY_HAND:
                continue
            response = self._obey(request)
            if response is not None:
                yield wire.frame(request.destination, request.source, request.command, response)

    def _obey(self, request: wire.XHandFrame) -> bytes | None:
        if request.command == wire.VERSION:
            return b"\x01\x00\x00\x00"
        whole = len(request.payload) == wire.COMMAND.itemsize * wire.JOINTS
        if request.command != wire.EXCHANGE or not whole:
            return None
        with self._lock:
            self._live()
            self._follow(np.frombuffer(request.payload, wire.COMMAND))
            return self._state().tobytes()

    def _live(self) -> None:
        """Lets time pass until now."""
        self.plant.advance()
        self.plant.stalled[_STALLED] = "stall" in self._faults
        self.plant.stalled[_HOT] = "over_temperature" in self._faults

    def _follow(self, command: np.ndarray) -> None:
        order = command["id"]
        complete = sorted(order.tolist()) == list(range(wire.JOINTS))
        if not complete or not np.isfinite(command["position"]).all():
            return
        self.command = command[np.argsort(order)]
        driven = self.command["mode"] != wire.PASSIVE
        target = self.command["position"].astype(float)
        self.plant.command(np.where(driven, target, self.plant.position))

    def _state(self) -> np.ndarray:
        state = np.zeros((), wire.STATE)
        joints = state["joints"]
        joints["id"] = np.arange(wire.JOINTS)
        joints["position"] = self.plant.position
        joints["sensor_id"][list(_TIP_JOINTS)] = _SENSOR_IDS
        error = self.plant.target - self.plant.position
        limit = self.command["tor_max"].astype(float)
        torque = self.command["kp"] * 10.0 * error
        joints["torque"] = np.rint(np.clip(torque, -limit, limit))
        joints["temperature"] = WARM
        if "over_temperature" in self._faults:
            joints["temperature"][_HOT] = HOT
            joints["jointboard_err"][_HOT] = HOT_ERROR
        self._feel(state["tips"], joints["torque"])
        return state

    def _feel(self, tips: np.ndarray, torque: np.ndarray) -> None:
        """A fingertip feels its contact, a blocked finger presses; all taxels share it."""
        felt = self.contact.copy()
        if self.plant.stalled[_STALLED]:
            felt[1, 2] += abs(float(torque[_STALLED])) * _COUNTS_PER_MA
        for (axis, (low, high)), values in zip(_COUNTS.items(), felt.T, strict=True):
            tips["force"][axis] = np.rint(np.clip(values, low, high))
            tips["taxels"][axis] = np.rint(np.clip(values / 10, low, high))[:, None]
        tips["temperature"] = WARM_TIP
        tips["temperatures"] = WARM_TIP
