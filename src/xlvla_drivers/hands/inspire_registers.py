"""The registers of an Inspire hand over each of its wires.

Each wire offers the same four methods. `read` and `write` ask again until an answer comes and raise
LinkLost after `LINK_TIMEOUT_S`; `glance` asks once and may go without.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Any

from xlvla.errors import XlvlaError
from xlvla_drivers import addresses, thread_clock
from xlvla_drivers.device import LINK_TIMEOUT_S, LinkLost
from xlvla_drivers.hands import inspire_frames as wire
from xlvla_drivers.serial_link import SerialLink

REPLY_S = LINK_TIMEOUT_S / 3
"""A hand answers 12 bytes in 6 ms; one that has not in this time has not heard."""


class Registers(ABC):
    """Bytes of the hand's register map, by address.

    Args:
        address: as the rig gives it.
        hand_id: whom to ask.
        counts: what the link had to survive.
    """

    largest_read: int

    def __init__(self, address: str, hand_id: int, counts: Counter[str]):
        self.address = address
        self.hand_id = hand_id
        self.counts = counts

    @abstractmethod
    def open(self) -> None: ...

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def _read(self, address: int, size: int, until_s: float) -> bytes | None:
        """One attempt, until then (of `awake`)."""

    @abstractmethod
    def _write(self, address: int, data: bytes, until_s: float) -> bytes | None:
        """One attempt, until then; anything but None when the hand took it."""

    def glance(self, address: int, size: int) -> bytes | None:
        return self._read(address, size, thread_clock.now_s() + REPLY_S)

    def read(self, address: int, size: int) -> bytes:
        return self._insist(self._read, address, size)

    def write(self, address: int, data: bytes) -> None:
        self._insist(self._write, address, data)

    def _insist(
        self, attempt: Callable[[int, Any, float], bytes | None], address: int, content: int | bytes
    ) -> bytes:
        end_s = thread_clock.now_s() + LINK_TIMEOUT_S
        until_s = thread_clock.now_s() + REPLY_S
        while (answer := attempt(address, content, until_s)) is None:
            if thread_clock.now_s() >= end_s:
                raise LinkLost(
                    f"{self.address}: no sound answer within {1e3 * LINK_TIMEOUT_S:.0f} ms"
                )
            self.counts["retries"] += 1
            # It may have answered, but late: from now on it is waited for.
            until_s = end_s
        return answer


class SerialRegisters(Registers):
    """The vendor's own frames over a serial port."""

    largest_read = 64

    def __init__(self, address: str, hand_id: int, counts: Counter[str], baud: int):
        super().__init__(address, hand_id, counts)
        self._link = SerialLink(address, baud, counts)
        self._last = b""

    def open(self) -> None:
        self._link.open()

    def close(self) -> None:
        self._link.close()

    def _read(self, address: int, size: int, until_s: float) -> bytes | None:
        request = wire.read_request(self.hand_id, address, size)
        data = self._ask(request, wire.READ, address, until_s)
        if data is None or len(data) != size:
            return None
        return data

    def _write(self, address: int, data: bytes, until_s: float) -> bytes | None:
        request = wire.write_request(self.hand_id, address, data)
        return self._ask(request, wire.WRITE, address, until_s)

    def _ask(self, request: bytes, command: int, address: int, until_s: float) -> bytes | None:
        self._forget()
        self._link.send(request)
        while (frame := self._link.frame(self._cut, until_s)) is not None:
            parsed = wire.parse(frame)
            asked = (self.hand_id, command, address)
            if (parsed.hand_id, parsed.command, parsed.address) == asked:
                self._last = frame
                return parsed.data
            self._count(frame)
        return None

    def _forget(self) -> None:
        """What is still on the line answers an older request: an answer to the next one must not be
        mistaken for it.
        """
        while (frame := self._link.frame(self._cut, thread_clock.NOW)) is not None:
            self._count(frame)
        self.counts["truncated"] += self._link.drain() > 0

    def _count(self, frame: bytes) -> None:
        self.counts["duplicated" if frame == self._last else "unexpected"] += 1

    def _cut(self, buffer: bytearray) -> bytes | None:
        return wire.cut_reply(buffer, self.counts)


def host_and_port(address: str) -> tuple[str, int]:
    """Of an address such as 192.168.11.210 or 127.0.0.1:6000."""
    place = addresses.host_and_port(address, wire.TCP_PORT)
    if place is None:
        raise XlvlaError(
            "inspire: transport tcp needs an address such as 192.168.11.210 or "
            f"127.0.0.1:{wire.TCP_PORT}, not '{address}'"
        )
    return place
