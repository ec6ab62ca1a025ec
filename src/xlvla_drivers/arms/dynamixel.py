"""A leader arm of Dynamixel servos (GELLO and the like): moved by hand, read by the rig.

The protocol is spoken here rather than by the vendor's SDK, which spins while it waits, for at
least 34 ms per servo, and cannot say that a port is gone.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla.ranges import Range
from xlvla.types import Side
from xlvla_drivers import thread_clock
from xlvla_drivers.addresses import serial_port
from xlvla_drivers.arms import dynamixel_frames as wire
from xlvla_drivers.device import LINK_TIMEOUT_S, DeviceState, Fault, LinkLost
from xlvla_drivers.serial_link import SerialLink

_LOOK_AFTER_S = 1.0
"""How often temperature and errors are asked for."""
_REBOOT_S = 0.5
_CONNECT_TIMEOUT_S = 0.5
_MARGIN_S = 0.01
_RETURN_DELAY_S = 0.0005
"""How long a servo waits before it answers, as they leave the factory."""
_BITS_PER_BYTE = 10


@dataclass(frozen=True)
class Options:
    """What a rig may say about a leader arm.

    Args:
        baud: as its servos are configured; 57600 is the vendor's default, good for 25 readings a
            second of 8 servos.
        arm: the arm whose joints it has.
        first_id: of the servo of the first joint; the others follow.
        gripper_id: the servo of a trigger or gripper, 0 when there is none.
        gripper_open_deg, gripper_closed_deg: its ends, by its own zero, less than half a turn
            apart; a range across the zero is written through it, such as 20 and -22, or 350 and
            392.
        hold_current_A: with how much current the servos follow commands, 0 leaves the arm limp.
    """

    baud: Annotated[int, Range(9600, 4_500_000)] = 57600
    arm: str = "xarm7"
    first_id: Annotated[int, Range(0, 252)] = 1
    gripper_id: Annotated[int, Range(0, 252)] = 0
    gripper_open_deg: Annotated[float, Range(-360, 720)] = 195.0
    gripper_closed_deg: Annotated[float, Range(-360, 720)] = 152.0
    hold_current_A: Annotated[float, Range(0, 2)] = 0.0

    def __post_init__(self):
        travel_deg = abs(self.gripper_closed_deg - self.gripper_open_deg)
        if not 1 <= travel_deg < 180:
            raise XlvlaError(
                f"dynamixel: gripper_open_deg {self.gripper_open_deg:g} and gripper_closed_deg "
                f"{self.gripper_closed_deg:g} are {travel_deg:g} degrees apart: a trigger travels "
                "less than half a turn; write a range across the servo's zero through it, such as "
                "20 and -22"
            )


def claim(address: str, side: Side, options: Options) -> str:
    """A serial port has one arm."""
    return serial_port(address)


class Driver:
    """One leader arm. Angles are those of the servos, 0 rad at 2048; a rig's calibration makes them
    the arm's.

    A servo forgets turns when it is switched off, so an arm is taken to be within half a turn of
    its servos' zeros when it connects.

    Attributes:
        gripper: 0 open .. 1 closed, None where there is none.
    """

    def __init__(self, address: str, side: Side, options: Options):
        self.joints = catalog.arm(options.arm).joints
        self.counts: Counter[str] = Counter()
        self.gripper: float | None = None
        self._options = options
        self._link = SerialLink(address, options.baud, self.counts)
        count = len(self.joints)
        self._ids = tuple(range(options.first_id, options.first_id + count))
        self._all = self._ids
        if options.gripper_id:
            self._all += (options.gripper_id,)
        self._models: list[wire.Model] = []
        # Counts of the whole turns that each servo was found at.
        self._turns = np.zeros(count)
        self._alerts: set[int] = set()
        self._faults: tuple[Fault, ...] = ()
        self._temperature: dict[str, float] = {}
        self._position = np.zeros(count)
        self._looked_s = -np.inf
        self._silence_s = LINK_TIMEOUT_S

    def connect(self) -> None:
        self.disconnect()
        self._link.open()
        self._silence_s = _CONNECT_TIMEOUT_S
        numbers = self._table(self._all, wire.MODEL).values()
        self._models = [self._model(number) for number in numbers]
        self._command(wire.TORQUE, dict.fromkeys(self._all, 0))
        self._turns = np.zeros_like(self._turns)
        _, _, position = self._present()
        self._turns = np.floor(position / 4096) * 4096
        self._looked_s = -np.inf
        if self._options.hold_current_A > 0:
            self._hold()
        self.read()
        self._silence_s = LINK_TIMEOUT_S

    def read(self) -> DeviceState:
        current, velocity, position = self._present()
        stamp_ns = time.time_ns()
        if time.monotonic() > self._looked_s + _LOOK_AFTER_S:
            self._look_after()
        self._position = (position - wire.CENTRE) * wire.RAD_PER_COUNT
        return DeviceState(
            stamp_ns=stamp_ns,
            position=self._position,
            velocity=velocity * wire.RAD_S_PER_COUNT,
            effort=self._effort(current),
            temperature=self._temperature,
            faults=self._faults,
        )

    def _effort(self, current: np.ndarray) -> np.ndarray | None:
        """Torque [J] Nm of a current [J] counts; None where a servo's constant is not known."""
        constants: list[float] = []
        for model in self._models[: len(self._ids)]:
            if model.counts_per_newton_metre is None:
                return None
            constants.append(model.counts_per_newton_metre)
        return current / np.array(constants)

    def write(self, target: Mapping[str, float]) -> dict[str, float]:
        """A limp arm is moved by hand alone: it is where it is."""
        if self._options.hold_current_A <= 0:
            return dict(zip(self.joints, self._position.tolist(), strict=True))
        angles = np.array([target[joint] for joint in self.joints])
        counts = np.rint(angles / wire.RAD_PER_COUNT)
        goals = (counts + wire.CENTRE + self._turns).astype(int).tolist()
        by_servo = dict(zip(self._ids, goals, strict=True))
        self._link.send(wire.sync_write(wire.GOAL_POSITION, by_servo))
        return dict(zip(self.joints, (counts * wire.RAD_PER_COUNT).tolist(), strict=True))

    def recover(self) -> str:
        """Reboots the servos that shut down."""
        self._look_after()
        if not self._faults:
            return "nothing to clear"
        shut = sorted(self._alerts)
        for servo in shut:
            self._link.send(wire.packet(servo, wire.REBOOT))
        time.sleep(_REBOOT_S)
        self.connect()
        wrong = ", ".join(f"{fault.joint}: {fault.text}" for fault in self._faults)
        if wrong:
            raise XlvlaError(f"still wrong after a reboot: {wrong}")
        names = ", ".join(self._name(servo) for servo in shut)
        return f"rebooted {names}"

    def disconnect(self) -> None:
        """Leaves the arm limp."""
        if self._link.is_open:
            with contextlib.suppress(LinkLost):
                self._link.send(wire.sync_write(wire.TORQUE, dict.fromkeys(self._all, 0)))
        self._link.close()

    def _present(self) -> np.ndarray:
        """Current, velocity and position, each [J], as the servos count them, positions from the
        turn they were found in.
        """
        # The three lie side by side in the control table.
        first = wire.CURRENT.address
        size = wire.POSITION.address + wire.POSITION.size - first
        replies = self._ask(first, size, self._all)
        rows = [struct.unpack("<hii", replies[servo]) for servo in self._all]
        values = np.array(rows, dtype=float).T
        if self._options.gripper_id:
            self.gripper = self._closed_share(values[2, -1] * 360 / 4096)
        values = values[:, : len(self._ids)]
        values[2] -= self._turns
        return values

    def _closed_share(self, degrees: float) -> float:
        """How far a trigger is closed, 0 to 1; turns of the servo do not count."""
        opened = self._options.gripper_open_deg
        closed = self._options.gripper_closed_deg
        middle = (opened + closed) / 2
        # Within half a turn of the middle, so that no trigger jumps from one end to the other.
        degrees = middle + (degrees - middle + 180) % 360 - 180
        return float(np.clip((degrees - opened) / (closed - opened), 0.0, 1.0))

    def _look_after(self) -> None:
        """Asks for temperatures, and for what is wrong with servos that raise an alert."""
        self._looked_s = time.monotonic()
        celsius = self._table(self._all, wire.TEMPERATURE)
        # A new mapping: the last state that was reported keeps the old one.
        self._temperature = {self._name(servo): float(value) for servo, value in celsius.items()}
        errors = self._table(sorted(self._alerts), wire.HARDWARE_ERROR)
        faults: list[Fault] = []
        for servo, bits in errors.items():
            faults += self._hardware_faults(servo, bits)
        self._faults = tuple(faults)

    def _hardware_faults(self, servo: int, bits: int) -> list[Fault]:
        faults: list[Fault] = []
        for bit, text in wire.HARDWARE_ERRORS.items():
            if bits & bit:
                faults.append(Fault(f"hardware error 0x{bit:02X}", text, self._name(servo)))
        return faults

    def _hold(self) -> None:
        """Makes the servos follow positions gently, beginning where they are."""
        modes: dict[int, int] = {}
        for servo, mode in self._table(self._ids, wire.OPERATING_MODE).items():
            if mode != wire.CURRENT_POSITION_MODE:
                modes[servo] = wire.CURRENT_POSITION_MODE
        self._command(wire.OPERATING_MODE, modes)
        milliamperes = 1e3 * self._options.hold_current_A
        limits: dict[int, int] = {}
        for servo, model in zip(self._ids, self._models, strict=False):
            limits[servo] = round(milliamperes / model.milliamperes_per_count)
        self._command(wire.GOAL_CURRENT, limits)
        # The arm may be in somebody's hand, and move on while it is read.
        self._command(wire.GOAL_POSITION, self._table(self._ids, wire.POSITION), within=100)
        self._command(wire.TORQUE, dict.fromkeys(self._ids, 1))

    def _model(self, number: int) -> wire.Model:
        return wire.MODELS.get(number, wire.Model(f"model {number}", 1.0))

    def _name(self, servo: int) -> str:
        if servo not in self._ids:
            return "gripper"
        return self.joints[self._ids.index(servo)]

    def _command(self, entry: wire.Field, values: Mapping[int, int], within: int = 0) -> None:
        """Sets an entry and makes sure that it is set, give or take some counts: nobody answers a
        sync write.
        """
        if not values:
            return
        self._link.send(wire.sync_write(entry, values))
        for servo, value in self._table(tuple(values), entry).items():
            if abs(value - values[servo]) > within:
                raise XlvlaError(
                    f"{self._link.address}: servo {servo} ({self._name(servo)}) refuses {value} at "
                    f"address {entry.address}"
                )

    def _table(self, servos: Sequence[int], entry: wire.Field) -> dict[int, int]:
        replies = self._ask(entry.address, entry.size, servos)
        return {servo: entry.unpack(replies[servo], entry.address) for servo in servos}

    def _ask(self, address: int, size: int, servos: Sequence[int]) -> dict[int, bytes]:
        """A piece of the control table of several servos; the silent are asked again until that
        takes too long.
        """
        replies: dict[int, bytes] = {}
        tries = 0
        give_up_s = thread_clock.now_s() + self._silence_s
        while missing := [servo for servo in servos if servo not in replies]:
            if thread_clock.now_s() > give_up_s:
                names = ", ".join(f"{servo} ({self._name(servo)})" for servo in missing)
                raise LinkLost(
                    f"{self._link.address}: no answer from servo {names}; are power, cable, baud "
                    "and id right?"
                )
            self.counts["retries"] += tries > 0
            tries += 1
            self._collect(address, size, missing, replies, give_up_s)
        return replies

    def _collect(
        self,
        address: int,
        size: int,
        missing: Sequence[int],
        replies: dict[int, bytes],
        give_up_s: float,
    ) -> None:
        """Asks once and takes the answers of the missing servos in."""
        self.counts["late"] += self._link.drain() > 0
        self._link.send(wire.sync_read(address, size, missing))
        request_bytes = 14 + len(missing)
        reply_bytes = len(missing) * (11 + size)
        on_wire_s = (request_bytes + reply_bytes) * _BITS_PER_BYTE / self._options.baud
        expected_s = on_wire_s + len(missing) * _RETURN_DELAY_S
        until_s = min(thread_clock.now_s() + 1.2 * expected_s + _MARGIN_S, give_up_s)
        while any(servo not in replies for servo in missing):
            body = self._link.frame(self._cut, until_s)
            if body is None:
                return
            servo = body[0]
            if servo not in missing or not _is_answer(body, size):
                self.counts["unexpected"] += 1
                continue
            if servo in replies:
                self.counts["duplicated"] += 1
                continue
            replies[servo] = body[3:]
            if body[2] & wire.ALERT:
                self._alerts.add(servo)
            else:
                self._alerts.discard(servo)

    def _cut(self, buffer: bytearray) -> bytes | None:
        return wire.cut(buffer, self.counts)


def _is_answer(body: bytes, size: int) -> bool:
    """Whether a body is a status with so many bytes of data, and no error but an alert."""
    if len(body) != 3 + size or body[1] != wire.STATUS:
        return False
    return not body[2] & ~wire.ALERT
