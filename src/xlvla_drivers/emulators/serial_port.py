"""The wire of an emulated serial device: a pseudo-terminal behind a link at the device's address.

To a client it is a serial port like any other, unplugging included: the port then vanishes and its
reads and writes fail.
"""

from __future__ import annotations

import contextlib
import os
import select
import termios
import threading
import time
import tty
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from xlvla.errors import XlvlaError
from xlvla_drivers.emulators.emulator import Faults

WIRE_FAULTS = ("unplug", "bad_checksum", "truncated", "duplicated", "late")

_BITS_PER_BYTE = 10
"""8N1."""
_WAITING_LIMIT = 256
"""Frames; a device that nobody listens to forgets."""


class SerialPort:
    """Serves one pseudo-terminal from a thread of its own, between `start` and `stop`.

    Args:
        address: where the link is made; a link left behind by another emulator is replaced,
            anything else refused.
        answer: called in the port's thread with bytes as they arrive; the frames that the device
            says to them, each whole.
        faults: those of `WIRE_FAULTS` that the emulator suffers from. A bad frame is every
            `hit_every`th one.
        baud: frames take the time they take at this rate, and a client that opened another rate is
            not understood; 0: no time at all, any rate.
        turnaround_s: how long the device thinks before each frame.
    """

    hit_every = 3
    late_s = 0.03

    def __init__(
        self,
        address: str,
        answer: Callable[[bytes], Iterable[bytes]],
        faults: Faults,
        *,
        baud: int = 0,
        turnaround_s: float = 0.0,
    ):
        self._link = Path(address)
        self._answer = answer
        self._faults = faults
        self._byte_s = 0.0
        self._speed: int | None = None
        if baud:
            self._byte_s = _BITS_PER_BYTE / baud
            # None for a rate that has no name in termios: any is understood then.
            self._speed = getattr(termios, f"B{baud}", None)
        self._turnaround_s = turnaround_s
        self._waiting: deque[tuple[float, bytes]] = deque(maxlen=_WAITING_LIMIT)
        # When the last byte of what waits has left.
        self._free_s = 0.0
        self._frames = 0
        self._stop = threading.Event()
        self._master = -1
        self._slave = -1
        self._wake_read = -1
        self._wake_write = -1
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Makes the port; clients can open it when this returns."""
        self._stop.clear()
        if "unplug" not in self._faults:
            self._plug()
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(
            target=self._serve, name=f"port {self._link.name}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        if self._thread is None:
            return
        self._stop.set()
        self.wake()
        self._thread.join()
        self._thread = None
        self._unplug()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def wake(self) -> None:
        """Makes the port look at its faults now."""
        if self._thread is not None:
            os.write(self._wake_write, b"\0")

    def _serve(self) -> None:
        while not self._stop.is_set():
            if "unplug" in self._faults:
                self._unplug()
            elif self._master < 0:
                self._plug()
            files = [self._wake_read]
            if self._master >= 0:
                files.append(self._master)
            ready, _, _ = select.select(files, [], [], self._pause_s())
            if self._wake_read in ready:
                os.read(self._wake_read, 64)
            if self._master in ready:
                self._on_data(os.read(self._master, 4096))
            self._send_due()

    def _on_data(self, data: bytes) -> None:
        if self._speed is not None and termios.tcgetattr(self._slave)[5] != self._speed:
            return
        received_s = time.monotonic() + self._byte_s * len(data)
        for frame in self._answer(data):
            self._say(frame, received_s + self._turnaround_s)
            received_s += self._turnaround_s + self._byte_s * len(frame)

    def _say(self, frame: bytes, ready_s: float) -> None:
        """Queues a frame, as its faults have it, for when its last byte would have arrived."""
        self._frames += 1
        copies = [frame]
        if self._frames % self.hit_every == 0:
            copies, delay_s = self._corrupted(frame)
            ready_s += delay_s
        for copy in copies:
            self._free_s = max(self._free_s, ready_s) + self._byte_s * len(copy)
            self._waiting.append((self._free_s, copy))

    def _corrupted(self, frame: bytes) -> tuple[list[bytes], float]:
        """What becomes of a frame that is hit, and how much later it comes [s]."""
        if "bad_checksum" in self._faults:
            middle = len(frame) // 2
            frame = frame[:middle] + bytes([frame[middle] ^ 1]) + frame[middle + 1 :]
        if "truncated" in self._faults:
            frame = frame[: 2 * len(frame) // 3]
        copies = 2 if "duplicated" in self._faults else 1
        delay_s = self.late_s if "late" in self._faults else 0.0
        return [frame] * copies, delay_s

    def _pause_s(self) -> float | None:
        """Until the next frame is due; None where none waits."""
        if not self._waiting:
            return None
        due_s, _ = self._waiting[0]
        return max(due_s - time.monotonic(), 0.0)

    def _send_due(self) -> None:
        while self._waiting and self._waiting[0][0] <= time.monotonic():
            _, frame = self._waiting.popleft()
            # A client that does not read loses the bytes, as on a wire.
            with contextlib.suppress(BlockingIOError):
                os.write(self._master, frame)

    def _plug(self) -> None:
        self._link.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(self._link) and not _is_ours(self._link):
            raise XlvlaError(
                f"cannot emulate a device at {self._link}: it exists and is not an emulator's "
                "link; choose another address"
            )
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        fresh = self._link.with_name(f".{self._link.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.replace(self._link)

    def _unplug(self) -> None:
        if self._master < 0:
            return
        if self._link.is_symlink() and os.readlink(self._link) == os.ttyname(self._slave):
            self._link.unlink()
        os.close(self._slave)
        os.close(self._master)
        self._master = -1
        self._slave = -1
        self._waiting.clear()


def _is_ours(path: Path) -> bool:
    """A link to a pseudo-terminal is an emulator's; one to a real port is somebody's."""
    return path.is_symlink() and os.readlink(path).startswith("/dev/pts/")
