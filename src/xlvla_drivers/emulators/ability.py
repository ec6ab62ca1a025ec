"""An emulated Ability hand, as its ICD describes it, behind a serial port.

Grips are answered but move nothing; a joint that cannot go where it is told presses its finger's
touch sensors.
"""

from __future__ import annotations

import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np

from xlvla.hands.ability import HAND
from xlvla.types import Side
from xlvla_drivers.emulators.emulator import Faults
from xlvla_drivers.emulators.plant import Plant
from xlvla_drivers.emulators.serial_port import WIRE_FAULTS, SerialPort
from xlvla_drivers.hands import ability_frames as wire
from xlvla_drivers.hands.ability import Options

_TO_HAND = [wire.WIRE_JOINTS.index(joint) for joint in HAND.joints]
_TO_WIRE = [HAND.joints.index(joint) for joint in wire.WIRE_JOINTS]
_FINGER = np.array([0, 1, 2, 3, 4, 4])
"""Of every joint on the wire."""
_AMPERES_PER_RAD = 2.0
_NEWTONS_PER_RAD = 10.0
_ACCEPTED = 0x4E11FEA4
_REFUSED = 0xFA17FFFF
_FINGER_GAINS = (3, 4, 1, 21, 0, 10, 1, 1773, 4, 0)
_ROTATOR_GAINS = (500, 0, 5, 3, 14, 6, 1, 1773, 8, 0)


class Emulator:
    """One hand at rest, open.

    Attributes:
        speed: the fastest its joints go [6] rad/s.
        sessions_ended: how often it heard nothing for 300 ms and left the serial interface.
    """

    known_faults = (*WIRE_FAULTS, "stall", "over_temperature")

    def __init__(self, address: str, side: Side, options: Options):
        self.joints = HAND.joint_names(side)
        self.sessions_ended = 0
        self._options = options
        self._faults = Faults(self.known_faults)
        self._port = SerialPort(address, self._answer, self._faults, baud=options.baud)
        lower = wire.LOWEST[_TO_HAND]
        upper = wire.HIGHEST[_TO_HAND]
        self.speed = HAND.limits(side).velocity
        self.plant = Plant(np.zeros(6), lower, upper, self.speed.copy())
        self._received = bytearray()
        self._received_s = 0.0
        self._in_session = False
        self._header = wire.POSITION
        values = (*_FINGER_GAINS * 5, *_ROTATOR_GAINS, 0x0A817, 0x4D1)
        self._registers: dict[int, int] = dict(enumerate(values, 1))
        self._lock = threading.Lock()

    def start(self) -> None:
        self._port.start()

    def stop(self) -> None:
        self._port.stop()

    def inject(self, fault: str, on: bool = True) -> None:
        self._faults.inject(fault, on)
        with self._lock:
            self.plant.advance()
            self.plant.stalled[:] = "stall" in self._faults
        self._port.wake()

    @property
    def position(self) -> np.ndarray:
        with self._lock:
            self._advance()
            return self.plant.position.copy()

    def _advance(self) -> None:
        """Moves on to now; the hand stops following once its session has timed out."""
        ends_s = self._received_s + wire.API_TIMEOUT_S
        if self._in_session and time.monotonic() > ends_s:
            self.plant.advance(ends_s)
            self._leave()
            self.sessions_ended += 1
        self.plant.advance()

    def _leave(self) -> None:
        self._in_session = False
        self.plant.target = self.plant.position.copy()

    def _answer(self, data: bytes) -> Iterator[bytes]:
        self._received += data
        while (body := wire.cut(self._received, Counter())) is not None:
            if body[0] != self._options.hand_address:
                continue
            with self._lock:
                self._advance()
                self._in_session = True
                self._received_s = time.monotonic()
                answer = self._obey(body[1], body[2:])
            if answer is not None:
                yield answer

    def _obey(self, header: int, data: bytes) -> bytes | None:
        if header == wire.LEAVE_API:
            self._leave()
            return None
        if header in (wire.READ_REGISTER, wire.WRITE_REGISTER):
            return self._register(header, data)
        mode = header & 0xF0
        variant = header & 0x0F
        if variant < 3 and mode in (*wire.MODES, wire.READ_ONLY):
            self._header = header
            count = min(len(data) // 2, 6)
            words = np.frombuffer(data[: 2 * count], "<i2").astype(float)
            self._drive(mode, words)
        return wire.reply(self._header, self._state())

    def _drive(self, mode: int, words: np.ndarray) -> None:
        """Follows a motion command for as many joints as it has words for."""
        if not len(words) or mode == wire.READ_ONLY:
            return
        target = self.plant.target[_TO_WIRE]
        speed = self.speed[_TO_WIRE].copy()
        told = slice(len(words))
        if mode == wire.POSITION:
            target[told] = words * wire.RAD_PER_COUNT
        else:
            # The other modes drive towards a stop; a joint told zero stays where it is.
            stop = self.plant.position[_TO_WIRE][told]
            stop[words > 0] = wire.HIGHEST[told][words > 0]
            stop[words < 0] = wire.LOWEST[told][words < 0]
            target[told] = stop
            wanted = np.abs(self._wanted_speed(mode, words, speed[told]))
            speed[told] = np.minimum(wanted, speed[told])
        self.plant.speed = speed[_TO_HAND]
        self.plant.command(target[_TO_HAND])

    def _wanted_speed(self, mode: int, words: np.ndarray, fastest: np.ndarray) -> np.ndarray:
        """As if a joint ran freely: in proportion to the voltage, or to the current up to 1 A."""
        if mode == wire.VELOCITY:
            return words * wire.RAD_S_PER_COUNT
        per_count = 1 / self._options.counts_per_ampere
        if mode == wire.DUTY:
            per_count = wire.DUTY_PER_COUNT
        return words * fastest * per_count

    def _state(self) -> wire.Reply:
        position = self.plant.position[_TO_WIRE]
        velocity = self.plant.velocity[_TO_WIRE]
        error = self.plant.target[_TO_WIRE] - position
        pressed = np.where(self.plant.stalled[_TO_WIRE], np.abs(error) * _NEWTONS_PER_RAD, 0.0)
        # Of a finger's joints the one that presses more.
        forces = np.zeros(len(wire.WIRE_FINGERS))
        np.maximum.at(forces, _FINGER, pressed)
        amperes = error * _AMPERES_PER_RAD
        return wire.Reply(
            0,
            np.rint(position / wire.RAD_PER_COUNT),
            current=np.rint(amperes * self._options.counts_per_ampere),
            velocity=np.rint(velocity * wire.GEAR / wire.ROTOR_RAD_S_PER_COUNT),
            touch=wire.touch_counts(np.repeat(forces, wire.SITES)),
            hot=0x3F if "over_temperature" in self._faults else 0,
        )

    def _register(self, header: int, data: bytes) -> bytes:
        number = int.from_bytes(data[:4], "little")
        status = _ACCEPTED if number in self._registers else _REFUSED
        if header == wire.WRITE_REGISTER:
            if status == _ACCEPTED and len(data) == 8:
                self._registers[number] = struct.unpack("<i", data[4:])[0]
            return wire.stuff(struct.pack("<I", status))
        return wire.stuff(wire.summed(struct.pack("<Ii", status, self._registers.get(number, 0))))
