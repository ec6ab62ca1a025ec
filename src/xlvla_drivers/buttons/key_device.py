"""A thing with keys as Linux's input subsystem has it, read through evdev: presses and releases by
what they do.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import select
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xlvla.buttons import Action
from xlvla.errors import nearest
from xlvla_drivers.buttons.key_set import KeySet
from xlvla_drivers.device import LinkLost
from xlvla_drivers.optional import installed

FOLDER = "/dev/input"

RELEASED = 0
"""Value of a key's event; 1 is pressed, and 2 is what a held key repeats."""


@dataclass(frozen=True)
class Press:
    """A key that does something went down, or up."""

    action: Action
    down: bool


def library() -> Any:
    """The package evdev; XlvlaError says what to install where it is missing."""
    return installed("evdev", "pip install evdev")


def key_faults(keys: Mapping[str, Action], where: str) -> list[str]:
    """A line for every key that the kernel does not know by this name."""
    known: Mapping[str, int] = library().ecodes.ecodes
    names = [name for name in known if name.startswith(("KEY_", "BTN_"))]
    return [
        f"{where}: the kernel knows no key '{key}' (`evtest` shows them){nearest(key, names)}"
        for key in keys
        if key not in names
    ]


class KeyDevice:
    """One thing with keys. Methods are called from one thread.

    Args:
        address: its file; '' looks for the first of its kind.
        keys: what its keys do, by the kernel's names.
        exclusive: whether its keys are kept from everybody else.
    """

    def __init__(self, kind: KeySet, address: str, keys: Mapping[str, Action], exclusive: bool):
        self._evdev = library()
        codes: Mapping[str, int] = self._evdev.ecodes.ecodes
        self._kind = kind
        self._address = address
        self._actions: dict[int, Action] = {codes[key]: keys[key] for key in keys}
        self._exclusive = exclusive
        self._device: Any = None
        # Keys that are down, and whether the kernel lost events which are not yet made up for.
        self._down: set[int] = set()
        self._lost_events = False

    @property
    def line(self) -> str:
        """What was opened, and where."""
        return f"{self._device.name} at {self._device.path}" if self._device else self._kind.title

    def open(self) -> list[Press]:
        """Opens it. A key that is down already was not pressed now, but for the e-stop: that is
        what comes back.

        Raises:
            LinkLost: it is not there, or may not be read.
        """
        self._device = self._at(self._address) if self._address else self._found()
        self._lost_events = False
        try:
            if self._exclusive:
                self._device.grab()
            self._down = self._held()
        except OSError as error:
            raise LinkLost(f"{self.line} {_reason(error)}") from None
        stopped = any(self._actions[code] == "estop" for code in self._down)
        return [Press("estop", True)] if stopped else []

    def read(self, timeout_s: float) -> list[Press]:
        """What was pressed and released since the last call, in order; waits for it for at most
        `timeout_s`.

        Raises:
            LinkLost: it is gone.
        """
        ready, _, _ = select.select([self._device.fileno()], [], [], timeout_s)
        if not ready:
            return []
        presses: list[Press] = []
        try:
            for event in self._device.read():
                presses += self._heard(event)
        except BlockingIOError:
            pass
        except OSError as error:
            raise LinkLost(f"{self.line} {_reason(error)}") from None
        return presses

    def release(self) -> list[Press]:
        """Every key that is down as let go: nothing stays pressed on what is not there."""
        return self._changed(set())

    def close(self) -> None:
        """Never raises; it may be opened again."""
        if self._device is not None:
            with contextlib.suppress(OSError):
                self._device.close()
            self._device = None

    def _heard(self, event: Any) -> list[Press]:
        """What an event of the kernel changes.

        Events that come faster than they are read are lost, which it says; what is down then is
        asked for once it has told the rest (Documentation/input/event-codes.rst, SYN_DROPPED).
        """
        codes = self._evdev.ecodes
        if event.type == codes.EV_SYN and event.code == codes.SYN_DROPPED:
            self._lost_events = True
        elif self._lost_events:
            if event.type == codes.EV_SYN and event.code == codes.SYN_REPORT:
                self._lost_events = False
                return self._changed(self._held())
        elif event.type == codes.EV_KEY and event.code in self._actions:
            if event.value == RELEASED:
                return self._changed(self._down - {event.code})
            return self._changed(self._down | {event.code})
        return []

    def _held(self) -> set[int]:
        """Keys that do something and are down now, as the kernel has it."""
        return set(self._device.active_keys()) & set(self._actions)

    def _changed(self, down: set[int]) -> list[Press]:
        """What becomes of these keys being down now: an action is let go with its last key."""
        pressed: list[Action] = [self._actions[code] for code in sorted(down - self._down)]
        released: list[Action] = [self._actions[code] for code in sorted(self._down - down)]
        self._down = down
        held = {self._actions[code] for code in down}
        # A stop waits for nothing.
        pressed.sort(key=lambda action: action != "estop")
        presses = [Press(action, True) for action in pressed]
        return presses + [Press(action, False) for action in released if action not in held]

    def _at(self, path: str) -> Any:
        """The device at a path."""
        if not os.path.exists(path):
            raise LinkLost(f"there is no {self._kind.title} at {path}: {_known()}")
        try:
            device = self._evdev.InputDevice(path)
        except OSError as error:
            raise LinkLost(f"{path} cannot be read: {error.strerror}; {_permission()}") from None
        missing = self._missing(device)
        if missing:
            device.close()
            raise LinkLost(f"{device.name} at {path} has no key {missing}: see `evtest {path}`")
        return device

    def _found(self) -> Any:
        """The first device of its kind."""
        for path in sorted(self._evdev.list_devices()):
            # One that was unplugged since.
            with contextlib.suppress(OSError):
                device = self._evdev.InputDevice(path)
                is_known = not self._kind.ids or self._id(device) in self._kind.ids
                if is_known and not self._missing(device):
                    return device
                device.close()
        raise LinkLost(f"no {self._kind.title} is plugged in: {_known()}; {_permission()}")

    def _id(self, device: Any) -> tuple[int, int]:
        return device.info.vendor, device.info.product

    def _missing(self, device: Any) -> str:
        """A key that should do something and is none of a device's; '' where it has them all."""
        there = device.capabilities().get(self._evdev.ecodes.EV_KEY, ())
        missing = sorted(set(self._actions) - set(there))
        if not missing:
            return ""
        names: Any = self._evdev.ecodes.bytype[self._evdev.ecodes.EV_KEY][missing[0]]
        return names if isinstance(names, str) else names[0]


def _reason(error: OSError) -> str:
    """Why the kernel refused."""
    if error.errno == errno.ENODEV:
        return "is unplugged"
    if error.errno == errno.EBUSY:
        return "is used by another program"
    return f"cannot be read: {error.strerror}"


def _known() -> str:
    """What there is instead."""
    names = sorted(glob.glob(os.path.join(FOLDER, "by-id", "*-event-*")))
    return f"there is {', '.join(names)}" if names else f"{FOLDER}/by-id has nothing of the kind"


def _permission() -> str:
    return f"whoever reads {FOLDER} has to be in the group `input`"
