"""What every emulator is: a server at an address that behaves like the device, faults on demand
included.

An emulator is a module `emulators/<driver>.py` with a class `Emulator`. It listens where the
driver's `address` says: a serial device as a pseudo-terminal behind a link at that path, a network
device on that host and port.

A network device's module also says `ADDRESS`, where it listens when nobody chose: `{side}` in it
stands for the side, `{number}` for 1 (left) or 2 (right), `{domain}` for the ROS domain, so that
two rigs on one machine do not meet, and `{apart}` for a DDS domain that is none of ROS's. Serial
ones need none (`registry.emulated_address`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from xlvla.errors import unknown
from xlvla.types import Side
from xlvla_drivers.emulators.plant import Plant


class Emulator(Protocol):
    """One emulated device, served from its own thread from `start` to `stop`.

    Attributes:
        joints: names as in the catalogue.
        known_faults: what `inject` understands. Common words: unplug, bad_checksum, truncated,
            duplicated, late (frames), stall, over_temperature, over_current, protective_stop
            (device).
        plant: its mechanics; a rig places it at home before the start.
    """

    joints: tuple[str, ...]
    plant: Plant
    known_faults: tuple[str, ...]

    def __init__(self, address: str, side: Side, options: Any): ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def inject(self, fault: str, on: bool = True) -> None:
        """Begins or ends a fault; an unknown one raises XlvlaError."""
        ...

    @property
    def position(self) -> np.ndarray:
        """Where the joints really are now [J] rad."""
        ...


class Faults:
    """The faults an emulator suffers from at the moment."""

    def __init__(self, known: Iterable[str]):
        self.known = tuple(known)
        self._active: frozenset[str] = frozenset()

    def inject(self, fault: str, on: bool = True) -> None:
        if fault not in self.known:
            raise unknown("fault", fault, self.known)
        self._active = self._active | {fault} if on else self._active - {fault}

    def __contains__(self, fault: str) -> bool:
        return fault in self._active
