"""Inspire RH56 hands, DFX (no skin) and FTP (17 fields of taxels), over each of their wires.

Angles are read every time; what else there is to read takes turns at rates of its own, so that the
control rate is kept.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np

from xlvla.errors import XlvlaError, unknown
from xlvla.hands.inspire import HAND
from xlvla.ranges import Range
from xlvla.types import Side
from xlvla_drivers.addresses import serial_port
from xlvla_drivers.device import DeviceState, Fault
from xlvla_drivers.hands import inspire_frames as wire
from xlvla_drivers.hands.inspire_registers import Registers, SerialRegisters, host_and_port
from xlvla_drivers.hands.inspire_skin import Skin

GRAM_N = 9.80665e-3

DFX_FORCE = {
    "index": (0.007478, -0.414),
    "middle": (0.006452, 0.018),
    "thumb_bend": (0.012547, 0.384),
}
"""N = a * raw + b, measured by correlllab on one DFX for raw values above 90; other fingers are
taken for an index, UNCONFIRMED.
"""

FORCE_LIMIT = {"dfx": 1000, "ftp": 3000}
SPARE_S = 0.025
"""Nothing but the angles is read where these alone took longer."""
SETTLE_S = 0.02


@dataclass(frozen=True)
class Options:
    """What a rig may say of an Inspire hand.

    Args:
        transport: serial is the vendor's own frames; rtu and tcp are Modbus, which the DFX is not
            known to speak.
        hand_id: of the device on its bus.
        speed: 0..1000; 1000 is the full stroke in 0.6 s.
        force: where a finger stops closing; dfx 0..1000, ftp 0..3000 g.
        ranges: angle [rad] of a joint fully open and fully closed where it is not the URDF's range.
        health_hz: how often forces, errors and temperatures are read.
        tactile_hz: how many pieces of the skin are read per second, 64 bytes each on a serial line,
            a whole field over tcp; 0: none.
        taxel_n: newton per count of a taxel, UNCONFIRMED: the manual gives no unit, 1 g is assumed
            as for FORCE_ACT.
        octets_high_first: over Modbus the first of two one-byte values is a register's high byte,
            UNCONFIRMED.
    """

    transport: Literal["serial", "rtu", "tcp"] = "serial"
    model: Literal["dfx", "ftp"] = "dfx"
    hand_id: Annotated[int, Range(1, 254)] = 1
    baud: Annotated[int, Range(9600, 921600)] = 115200
    speed: Annotated[int, Range(0, 1000)] = 1000
    force: Annotated[int, Range(0, 3000)] = 500
    ranges: Mapping[str, tuple[float, float]] = field(
        default_factory=dict[str, tuple[float, float]]
    )
    health_hz: Annotated[float, Range(0.1, 100)] = 10.0
    tactile_hz: Annotated[float, Range(0, 1000)] = 20.0
    taxel_n: Annotated[float, Range(0, 1)] = GRAM_N
    octets_high_first: bool = True

    def __post_init__(self):
        strongest = FORCE_LIMIT[self.model]
        if self.force > strongest:
            raise XlvlaError(f"inspire: force is 0..{strongest} ({self.model}), got {self.force}")
        if self.transport == "tcp" and self.model == "dfx":
            raise XlvlaError("inspire: an RH56DFX has no network; transport: tcp needs model: ftp")
        for opened, closed in self.ranges.values():
            if opened == closed:
                raise XlvlaError("inspire: a range needs different angles for open and closed")


def claim(address: str, side: Side, options: Options) -> str:
    """Behind one network address may be a bus of several hands."""
    if options.transport != "tcp":
        return serial_port(address)
    host, port = host_and_port(address)
    return f"{host}:{port}, hand_id {options.hand_id}"


class AngleMap:
    """Raw angles in the hand's order to radians in the catalogue's, and back."""

    def __init__(self, side: Side, ranges: Mapping[str, tuple[float, float]]):
        self.joints = HAND.joint_names(side)
        limits = HAND.limits(side)
        for name in ranges:
            if name not in self.joints:
                raise unknown("joint", name, self.joints)
        self._open = np.array(limits.lower, dtype=float)
        self._closed = np.array(limits.upper, dtype=float)
        for row, name in enumerate(self.joints):
            if name in ranges:
                opened, closed = ranges[name]
                self._open[row] = opened
                self._closed[row] = closed
        # Where the joints are in the hand's order.
        self._device = np.array([wire.JOINTS.index(name) for name in self.joints])

    def radians(self, raw: np.ndarray) -> np.ndarray:
        """[6] rad of raw angles [6]; raw 1000 is open."""
        opened = np.asarray(raw)[self._device] / wire.ANGLE_FULL
        return self._closed + opened * (self._open - self._closed)

    def raw(self, position: np.ndarray) -> np.ndarray:
        """Raw angles [6], not rounded, of [6] rad."""
        from_closed = wire.ANGLE_FULL * (position - self._closed)
        raw = np.empty(len(self.joints))
        raw[self._device] = from_closed / (self._open - self._closed)
        return raw


class Driver:
    """One Inspire hand."""

    def __init__(self, address: str, side: Side, options: Options):
        self._options = options
        self.counts: Counter[str] = Counter()
        self._angles = AngleMap(side, options.ranges)
        self.joints = self._angles.joints
        self._registers = _registers(address, options, self.counts)
        tactile_hz = options.tactile_hz if options.model == "ftp" else 0.0
        self._skin = Skin(options.taxel_n, self._registers.largest_read, tactile_hz)
        self._health = bytes(wire.HEALTH_SIZE)
        self._health_due_s = 0.0

    def connect(self) -> None:
        """Sets speed and force limit; the hand keeps the target it has."""
        self._registers.open()
        self._registers.write(wire.SPEED_SET, wire.shorts([self._options.speed] * 6))
        self._registers.write(wire.FORCE_SET, wire.shorts([self._options.force] * 6))
        self._read_health()
        self._health_due_s = time.monotonic() + 1 / self._options.health_hz
        self._skin.forget()

    def read(self) -> DeviceState:
        began_s = time.monotonic()
        raw = wire.from_shorts(self._registers.read(wire.ANGLE_ACT, wire.SHORTS))
        stamp_ns = time.time_ns()
        if time.monotonic() - began_s < SPARE_S:
            self._read_more(began_s)
        temperature: dict[str, float] = {}
        for joint, celsius in zip(wire.JOINTS, self._octets(wire.TEMP), strict=True):
            temperature[joint] = float(celsius)
        return DeviceState(
            stamp_ns,
            self._angles.radians(np.array(raw)),
            tactile=self._forces() | self._skin.fields,
            temperature=temperature,
            faults=self._faults(),
        )

    def write(self, target: Mapping[str, float]) -> dict[str, float]:
        wanted = self._angles.raw(np.array([target[name] for name in self.joints]))
        raw = np.clip(np.rint(wanted), 0, wire.ANGLE_FULL).astype(int)
        self._registers.write(wire.ANGLE_SET, wire.shorts(raw.tolist()))
        return dict(zip(self.joints, self._angles.radians(raw).tolist(), strict=True))

    def recover(self) -> str:
        """Tells faulted joints to stay where they are, else they would go on to their old target,
        and clears the errors.
        """
        measured = wire.from_shorts(self._registers.read(wire.ANGLE_ACT, wire.SHORTS))
        self._read_health()
        stay: list[int] = []
        faulted: list[str] = []
        joints = zip(wire.JOINTS, measured, self._octets(wire.ERROR), strict=True)
        for name, angle, errors in joints:
            if errors:
                faulted.append(name)
                stay.append(min(max(angle, 0), wire.ANGLE_FULL))
            else:
                stay.append(wire.LEAVE_ALONE)
        self._registers.write(wire.ANGLE_SET, wire.shorts(stay))
        self._registers.write(wire.CLEAR_ERROR, b"\x01")
        time.sleep(SETTLE_S)
        self._read_health()
        left = "; ".join(f"{fault.joint}: {fault.text}" for fault in self._faults())
        if left:
            raise XlvlaError(f"still wrong after clearing: {left}")
        return f"cleared: {', '.join(faulted) or 'nothing was wrong'}"

    def disconnect(self) -> None:
        """The hand holds its last target by itself."""
        self._registers.close()

    def _read_more(self, now_s: float) -> None:
        """At most one thing beside the angles, what is due longest; forgone where the hand does not
        answer at once.
        """
        if now_s < min(self._health_due_s, self._skin.due_s):
            return
        if self._health_due_s <= self._skin.due_s:
            self._health_due_s = now_s + 1 / self._options.health_hz
            health = self._registers.glance(wire.HEALTH, wire.HEALTH_SIZE)
            if health:
                self._health = health
        else:
            piece = self._skin.next(now_s)
            self._skin.take(piece, self._registers.glance(piece.address, piece.size))

    def _read_health(self) -> None:
        self._health = self._registers.read(wire.HEALTH, wire.HEALTH_SIZE)

    def _octets(self, address: int) -> bytes:
        """A group of six one-byte numbers of the last health."""
        first = address - wire.HEALTH
        return self._health[first : first + wire.OCTETS]

    def _forces(self) -> dict[str, np.ndarray]:
        raw = wire.from_shorts(self._health[: wire.SHORTS])
        forces: dict[str, np.ndarray] = {}
        for part, value in zip(wire.PARTS, raw, strict=True):
            # An FTP hand counts grams.
            force = value * GRAM_N if self._options.model == "ftp" else _dfx_newton(part, value)
            forces[f"{part}_force"] = np.array(force)
        return forces

    def _faults(self) -> tuple[Fault, ...]:
        faults: list[Fault] = []
        for name, bits in zip(wire.JOINTS, self._octets(wire.ERROR), strict=True):
            for bit, text in enumerate(wire.ERRORS):
                if bits >> bit & 1:
                    faults.append(Fault(f"ERROR bit {bit}", text, name))
        return tuple(faults)


def _dfx_newton(part: str, raw: int) -> float:
    if raw <= 0:
        return 0.0
    slope, offset = DFX_FORCE.get(part, DFX_FORCE["index"])
    return max(slope * raw + offset, 0.0)


def _registers(address: str, options: Options, counts: Counter[str]) -> Registers:
    if options.transport == "serial":
        return SerialRegisters(address, options.hand_id, counts, options.baud)
    from xlvla_drivers.hands.inspire_modbus import RtuRegisters, TcpRegisters

    if options.transport == "rtu":
        return RtuRegisters(
            address, options.hand_id, counts, options.octets_high_first, options.baud
        )
    return TcpRegisters(address, options.hand_id, counts, options.octets_high_first)
