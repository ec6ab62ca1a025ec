"""The inside of an emulated Inspire hand: a register map, six motors behind it, and what goes wrong
with them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np

from xlvla.types import Side
from xlvla_drivers.emulators.emulator import Faults
from xlvla_drivers.emulators.plant import Plant
from xlvla_drivers.hands import inspire_frames as wire
from xlvla_drivers.hands.inspire import FORCE_LIMIT, GRAM_N, AngleMap, Options

HAND_FAULTS = ("stall", "over_temperature", "over_current")

STROKE_S = 0.6
"""A full stroke at speed 1000, unloaded."""
STALLED_S = 0.2
MOVING = 15
"""Raw angle between motor and target that counts as not there yet."""
WARM = 32
HOT = 85
"""deg C"""
_STALL = 1
_HOT = 2
_CURRENT = 4
_STOPPED = {_STALL: 6, _HOT: 255, _CURRENT: 5}
SUPPLY = 24000
SPEED = 1000
FORCE = 500
"""What a hand begins with."""
_IDS = range(1, 255)
_WRITABLE = (
    (wire.HAND_ID, 1),
    (wire.BUS_RATE, 1),
    (wire.CLEAR_ERROR, 1),
    (wire.SAVE, 5),  # up to force calibration
    (wire.SETTINGS_END, 36),  # current limit, default speed and force
    (wire.POS_SET, 36),
    (wire.SPEED_SET, 12),
)
_READABLE = (
    *_WRITABLE,
    (wire.VOLTAGE, 2),
    (wire.POS_ACT, 24),
    (wire.HEALTH, wire.HEALTH_SIZE),
    (1700, 4),
)
_HIGHEST = {
    wire.POS_SET: wire.STROKE_FULL,
    wire.ANGLE_SET: wire.ANGLE_FULL,
    wire.SPEED_SET: 1000,
    wire.DEFAULT_SPEED: 1000,
}


class InspireHand:
    """One hand; thread-safe.

    `stall` blocks the index finger, `over_temperature` heats the thumb's bending motor until it
    ends, `over_current` hits the middle finger. A motor with an error stands still; all but heat
    need CLEAR_ERROR.

    Args:
        faults: those of `HAND_FAULTS` the hand suffers from.

    Attributes:
        contact_n: force [6] N on each finger in the hand's order; fingertips feel it too.
    """

    def __init__(self, side: Side, options: Options, faults: Faults):
        self._angles = AngleMap(side, options.ranges)
        self._faults = faults
        self._options = options
        closed = self._angles.radians(np.zeros(6))
        opened = self._angles.radians(np.full(6, wire.ANGLE_FULL))
        lower = np.minimum(closed, opened)
        upper = np.maximum(closed, opened)
        self._stroke = upper - lower
        self.plant = Plant(opened, lower, upper, self._stroke / STROKE_S)
        self.joints = self._angles.joints
        self.contact_n = np.zeros(6)
        self._memory = bytearray(wire.MAP_END)
        self._target = np.full(6, wire.ANGLE_FULL)
        self._errors = np.zeros(6, dtype=int)
        self._blocked_since_s = np.full(6, np.inf)
        self._lock = threading.RLock()
        force = FORCE_LIMIT[options.model]
        self._highest = {**_HIGHEST, wire.FORCE_SET: force, wire.DEFAULT_FORCE: force}
        self._factory()
        self._put(wire.SPEED_SET, [SPEED] * 6)
        self._put(wire.FORCE_SET, [FORCE] * 6)
        self._put(wire.VOLTAGE, [SUPPLY])
        self._memory[1700:1704] = bytes((192, 168, 11, 210))
        self._aim(self._target)

    @property
    def hand_id(self) -> int:
        """Whom it answers as."""
        return self._memory[wire.HAND_ID]

    @property
    def position(self) -> np.ndarray:
        """Angles [6] rad in the catalogue's order."""
        with self._lock:
            self._live()
            return self.plant.position.copy()

    def read(self, address: int, size: int) -> bytes | None:
        """Bytes of the map; None where it has none to read."""
        with self._lock:
            if not self._has(address, size, _READABLE):
                return None
            self._live()
            self._publish()
            return bytes(self._memory[address : address + size])

    def write(self, address: int, data: bytes) -> bool:
        """Whether the map took it."""
        with self._lock:
            if not data or not self._has(address, len(data), _WRITABLE):
                return False
            self._live()
            if address == wire.CLEAR_ERROR:
                self._errors[:] = 0
                self._blocked_since_s[:] = np.inf
            elif address == wire.FACTORY:
                self._factory()
            elif address == wire.HAND_ID:
                if data[0] in _IDS:
                    self._memory[address] = data[0]
            else:
                self._store(address, data)
            # What was told counts from now on, not from the next time somebody asks.
            self._live()
            return True

    def _store(self, address: int, data: bytes) -> None:
        """Numbers outside their range, -1 among them, leave alone what was there."""
        before = {group: self._get(group) for group in self._highest}
        self._memory[address : address + len(data)] = data
        told: set[int] = set()
        for group, highest in self._highest.items():
            # One finger may be told alone.
            if group - len(data) < address < group + wire.SHORTS:
                asked = self._get(group)
                valid = (asked >= 0) & (asked <= highest)
                self._put(group, np.where(valid, asked, before[group]))
                told.add(group)
        if wire.ANGLE_SET in told:
            self._aim(self._get(wire.ANGLE_SET))
        elif wire.POS_SET in told:
            self._aim(wire.ANGLE_FULL - self._get(wire.POS_SET) // 2)

    def _has(self, address: int, size: int, groups: Sequence[tuple[int, int]]) -> bool:
        skin = self._options.model == "ftp" and groups is _READABLE
        if skin and wire.TAXELS_BEGIN <= address <= wire.MAP_END - size:
            return True
        for begin, length in groups:
            if begin <= address and address + size <= begin + length:
                return True
        return False

    def _factory(self) -> None:
        self._memory[wire.HAND_ID] = self._options.hand_id
        self._memory[wire.BUS_RATE] = 0
        self._put(wire.DEFAULT_SPEED, [SPEED] * 6)
        self._put(wire.DEFAULT_FORCE, [FORCE] * 6)

    def _put(self, address: int, values: Sequence[int] | np.ndarray) -> None:
        data = wire.shorts(int(value) for value in values)
        self._memory[address : address + len(data)] = data

    def _put_octets(self, address: int, values: np.ndarray) -> None:
        data = bytes(int(value) for value in values)
        self._memory[address : address + len(data)] = data

    def _get(self, address: int) -> np.ndarray:
        data = bytes(self._memory[address : address + wire.SHORTS])
        return np.array(wire.from_shorts(data))

    def _aim(self, target: np.ndarray) -> None:
        """Raw angles [6] to go to, told as angles or as strokes."""
        self._target = target
        self._put(wire.ANGLE_SET, target)
        # The true curve of the stroke is UNCONFIRMED.
        self._put(wire.POS_SET, 2 * (wire.ANGLE_FULL - target))

    def _live(self) -> None:
        """Lets time pass until now, then lets errors arise."""
        blocked = np.zeros(6, dtype=bool)
        blocked[wire.PARTS.index("index")] = "stall" in self._faults
        stuck = blocked | (self._errors != 0)
        speed = self._catalogue(self._get(wire.SPEED_SET))
        self.plant.speed = self._stroke * speed / 1000 / STROKE_S
        self.plant.stalled = self._catalogue(stuck)
        self.plant.command(self._angles.radians(self._target))
        self._err(blocked)

    def _catalogue(self, values: np.ndarray) -> np.ndarray:
        """From the hand's order into the catalogue's."""
        return values[[wire.JOINTS.index(name) for name in self.joints]]

    def _err(self, blocked: np.ndarray) -> None:
        now_s = time.monotonic()
        away = np.abs(self._target - self._raw()) > MOVING
        since_s = np.minimum(self._blocked_since_s, now_s)
        self._blocked_since_s = np.where(blocked & away, since_s, np.inf)
        self._errors[now_s - self._blocked_since_s > STALLED_S] |= _STALL
        thumb = wire.PARTS.index("thumb_bend")
        middle = wire.PARTS.index("middle")
        # Heat goes by itself.
        self._errors[thumb] &= ~_HOT
        if "over_temperature" in self._faults:
            self._errors[thumb] |= _HOT
        if "over_current" in self._faults:
            self._errors[middle] |= _CURRENT

    def _raw(self) -> np.ndarray:
        raw = np.rint(self._angles.raw(self.plant.position))
        return np.clip(raw, 0, wire.ANGLE_FULL).astype(int)

    def _publish(self) -> None:
        raw = self._raw()
        self._put(wire.ANGLE_ACT, raw)
        self._put(wire.POS_ACT, 2 * (wire.ANGLE_FULL - raw))
        grams = np.rint(self._felt() / GRAM_N).astype(int)
        self._put(wire.FORCE_ACT, grams)
        moving = np.abs(self._target - raw) > MOVING
        self._put(wire.CURRENT, np.where(moving, 250, 20))
        status = np.where(moving, self._target < raw, 2)
        status = np.where(grams >= self._get(wire.FORCE_SET), 3, status)
        for bit, code in _STOPPED.items():
            status = np.where(self._errors & bit, code, status)
        temperature = np.where(self._errors & _HOT, HOT, WARM)
        self._put_octets(wire.ERROR, self._errors)
        self._put_octets(wire.STATUS, status)
        self._put_octets(wire.TEMP, temperature)
        if self._options.model == "ftp":
            self._feel()

    def _felt(self) -> np.ndarray:
        """Contact, and what a blocked finger presses with."""
        blocked = np.isfinite(self._blocked_since_s) | (self._errors & _STALL > 0)
        pressed = np.where(blocked, self._get(wire.FORCE_SET) * GRAM_N, 0.0)
        return np.clip(self.contact_n + pressed, 0, 4000 * GRAM_N)

    def _feel(self) -> None:
        """Every fingertip's taxels share its force, the middle one most of it."""
        share = np.array([1, 2, 1, 2, 4, 2, 1, 2, 1]) / 16
        felt = dict(zip(wire.PARTS, self._felt(), strict=True))
        for finger in ("little", "ring", "middle", "index", "thumb"):
            force = felt["thumb_bend" if finger == "thumb" else finger]
            tip = wire.FIELDS[f"{finger}_tip"]
            self._put(tip.address, np.rint(share * force / self._options.taxel_n))
