"""A thing with keys that tests press: a real device of the kernel where /dev/uinput may be written,
else evdev's own reader on a pipe of the kernel's events.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import struct
import time
from pathlib import Path

import evdev
from evdev import ecodes

EVENT = struct.Struct("llHHi")
"""A `struct input_event`: seconds, microseconds, type, code, value."""

FOLDER = "XLVLA_TEST_KEYS"
"""Where the pipes are, for a process that is to read them."""

FLOOD = 5000
"""Events that no client of the kernel keeps."""

UINPUT = os.access("/dev/uinput", os.W_OK)


class PipedDevice(evdev.InputDevice):
    """evdev's reader on a pipe. What its ioctls would say of the device stands in a file beside."""

    def __init__(self, path: str):
        self.path = path
        self.fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        card = self._card()
        self.name = card["name"]
        self.info = evdev.device.DeviceInfo(3, card["vendor"], card["product"], 1)

    def _card(self) -> dict:
        try:
            return json.loads(Path(self.path + ".json").read_text())
        except FileNotFoundError:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV)) from None

    def capabilities(self, verbose=False, absinfo=True):
        return {ecodes.EV_KEY: self._card()["keys"]}

    def active_keys(self, verbose=False):
        return self._card()["down"]

    def grab(self):
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY)) from None

    def read(self):
        # As the kernel does: of a device that is gone, what waited is gone, too.
        self._card()
        return super().read()


def read_pipes(folder: str) -> None:
    """From now on evdev finds the pipes of a folder instead of the kernel's devices."""
    evdev.InputDevice = PipedDevice
    evdev.list_devices = lambda: [str(path) for path in sorted(Path(folder).glob("event?"))]


class Piped:
    """Keys on a pipe."""

    def __init__(self, folder: Path, keys, name="a pedal", vendor=0x0C45, product=0x7403):
        self.path = str(folder / f"event{len(list(folder.glob('event?')))}")
        self._codes = {key: ecodes.ecodes[key] for key in keys}
        self._card = {"name": name, "vendor": vendor, "product": product, "down": []}
        self._card["keys"] = sorted(self._codes.values())
        self.plug()

    def plug(self) -> None:
        os.mkfifo(self.path)
        self._write = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        self._card["down"] = []
        self._show()

    def unplug(self) -> None:
        os.unlink(self.path + ".json")
        os.unlink(self.path)
        os.close(self._write)

    def press(self, *keys: str) -> None:
        """All of them in one report."""
        self._state(keys, 1)
        self._report([(ecodes.EV_KEY, self._codes[key], 1) for key in keys])

    def release(self, *keys: str) -> None:
        self._state(keys, 0)
        self._report([(ecodes.EV_KEY, self._codes[key], 0) for key in keys])

    def repeat(self, key: str) -> None:
        self._report([(ecodes.EV_KEY, self._codes[key], 2)])

    def lose(self, pressed=(), released=(), other: str = "") -> None:
        """Keys change while the kernel has no room for events."""
        self._state(pressed, 1)
        self._state(released, 0)
        self._report([(ecodes.EV_SYN, ecodes.SYN_DROPPED, 0)])

    def _state(self, keys, value: int) -> None:
        codes = {self._codes[key] for key in keys}
        down = set(self._card["down"])
        self._card["down"] = sorted(down | codes if value else down - codes)
        self._show()

    def _show(self) -> None:
        written = Path(self.path + ".new")
        written.write_text(json.dumps(self._card))
        written.rename(self.path + ".json")

    def _report(self, events) -> None:
        now_s = time.time()
        stamp = int(now_s), int(now_s % 1 * 1e6)
        events = [*events, (ecodes.EV_SYN, ecodes.SYN_REPORT, 0)]
        os.write(self._write, b"".join(EVENT.pack(*stamp, *event) for event in events))

    def close(self) -> None:
        if os.path.exists(self.path):
            self.unplug()


class Kernel:
    """Keys of a device that the kernel makes for us."""

    def __init__(self, folder: Path, keys, name="a pedal", vendor=0x0C45, product=0x7403):
        self._keys = keys
        self._made = {"name": name, "vendor": vendor, "product": product}
        self.path = str(folder / "plugged")
        self.plug()

    def plug(self) -> None:
        events = {ecodes.EV_KEY: [ecodes.ecodes[key] for key in self._keys]}
        self._device = evdev.UInput(events, **self._made)
        give_up_s = time.monotonic() + 5.0
        while not os.access(self._device.device.path, os.R_OK) and time.monotonic() < give_up_s:
            time.sleep(0.01)
        os.symlink(self._device.device.path, self.path)

    def unplug(self) -> None:
        os.unlink(self.path)
        self._device.close()

    def press(self, *keys: str) -> None:
        self._send(keys, 1)

    def release(self, *keys: str) -> None:
        self._send(keys, 0)

    def repeat(self, key: str) -> None:
        self._send((key,), 2)

    def lose(self, pressed=(), released=(), other: str = "") -> None:
        for key in pressed:
            self.press(key)
        for key in released:
            self.release(key)
        for _ in range(FLOOD):
            self.press(other)
            self.release(other)

    def _send(self, keys, value: int) -> None:
        for key in keys:
            self._device.write(ecodes.EV_KEY, ecodes.ecodes[key], value)
        self._device.syn()

    def close(self) -> None:
        if os.path.lexists(self.path):
            self.unplug()


Keys = Kernel if UINPUT else Piped


if __name__ == "__main__":
    # The node of buttons, on the pipes where the tests have no other.
    if not UINPUT:
        read_pipes(os.environ[FOLDER])
    from xlvla_drivers.nodes.buttons import main

    main()
