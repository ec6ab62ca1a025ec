"""The host's end of a serial line: opened for one program alone, read against deadlines, honest
about silence.
"""

from __future__ import annotations

import contextlib
import os
import termios
import time
from collections import Counter
from collections.abc import Callable

from xlvla_drivers import thread_clock
from xlvla_drivers.device import LINK_TIMEOUT_S, LinkLost

Cut = Callable[[bytearray], bytes | None]
"""Takes the first sound frame off the front of a buffer, with all before it; None when more bytes
are needed.

It counts what it skips, by the words of `Device.counts`.
"""


class SerialLink:
    """A serial port; every method raises LinkLost once the port is gone. Moments are those of
    `awake`.

    Args:
        address: the port's path.
        baud: bits per second, 8N1.
        counts: where retries are counted.
    """

    def __init__(self, address: str, baud: int, counts: Counter[str]):
        self.address = address
        self.baud = baud
        self.counts = counts
        self._port = None
        self._buffer = bytearray()

    @property
    def is_open(self) -> bool:
        return self._port is not None

    def open(self) -> None:
        """Opens the port, anew if it was open."""
        import serial

        self.close()
        try:
            self._port = serial.Serial(self.address, self.baud, timeout=0, exclusive=True)
        except (OSError, ValueError, termios.error) as error:
            raise LinkLost(f"cannot open {self.address}: {_reason(error)}") from None
        with contextlib.suppress(
            OSError, ValueError, AttributeError, NotImplementedError, termios.error
        ):
            self._port.set_low_latency_mode(
                True
            )  # USB adapters of one vendor hold bytes back for 16 ms otherwise
        self.drain()

    def close(self) -> None:
        """Never raises."""
        port = self._port
        self._port = None
        self._buffer.clear()
        if port is not None:
            with contextlib.suppress(Exception):
                port.close()

    def send(self, data: bytes) -> None:
        """Writes all of it; not by pyserial, whose timeout runs on while this process stands
        still, and then calls lost what was written.
        """
        descriptor = self._opened().fileno()
        until_s = thread_clock.now_s() + LINK_TIMEOUT_S
        try:
            while data:
                with contextlib.suppress(BlockingIOError):
                    data = data[os.write(descriptor, data) :]
                if data and thread_clock.now_s() >= until_s:
                    raise self._lost(f"it took no bytes for {1e3 * LINK_TIMEOUT_S:.0f} ms")
                if data:
                    time.sleep(thread_clock.SLICE_S / 10)
        except OSError as error:
            raise self._lost(error) from None

    def receive(self, until_s: float) -> bytes:
        """Whatever has arrived, waiting until then for the first byte; empty when none came."""
        descriptor = self._opened().fileno()
        try:
            if not thread_clock.wait([descriptor], until_s):
                return b""
            data = os.read(descriptor, 4096)
        except BlockingIOError:
            return b""
        except (OSError, ValueError) as error:
            raise self._lost(error) from None
        if not data:
            raise self._lost("the port hung up")
        return data

    def drain(self) -> int:
        """Forgets what arrived so far; how many bytes that was."""
        while data := self.receive(thread_clock.NOW):
            self._buffer += data
        forgotten = len(self._buffer)
        self._buffer.clear()
        return forgotten

    def frame(self, cut: Cut, until_s: float) -> bytes | None:
        """The next sound frame, waiting until then; None when none came."""
        while (frame := cut(self._buffer)) is None:
            data = self.receive(until_s)
            if not data and thread_clock.now_s() >= until_s:
                return None
            self._buffer += data
        return frame

    def exchange(
        self, request: bytes, cut: Cut, wanted: Callable[[bytes], bool], *, tries: int = 2
    ) -> bytes:
        """The answer to a request, asked again when none comes; LinkLost after `LINK_TIMEOUT_S` of
        silence in all.
        """
        for attempt in range(tries):
            self.counts["retries"] += attempt > 0
            self.send(request)
            until_s = thread_clock.now_s() + LINK_TIMEOUT_S / tries
            while (frame := self.frame(cut, until_s)) is not None:
                if wanted(frame):
                    return frame
                self.counts["unexpected"] += 1
        raise LinkLost(f"{self.address}: no answer within {1e3 * LINK_TIMEOUT_S:.0f} ms")

    def _opened(self):
        if self._port is None:
            raise LinkLost(f"{self.address} is not open")
        return self._port

    def _lost(self, reason: object) -> LinkLost:
        self.close()
        return LinkLost(f"{self.address} is gone: {reason}")


def _reason(error: BaseException) -> str:
    text = str(error)
    if "No such file" in text:
        return "there is no such port; is the device plugged in and switched on?"
    if "Permission" in text:
        return "permission denied; add yourself to the group that owns the port (dialout)"
    if "exclusively lock" in text:
        return "another program has it open"
    return " ".join(text.split())
