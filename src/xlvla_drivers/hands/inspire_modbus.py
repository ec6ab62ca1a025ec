"""The registers of an Inspire hand over Modbus, through pymodbus.

By itself pymodbus waits up to twice its time-out, polls a serial port every millisecond, connects
anew in the middle of a request and takes any answer for the one it asked for. So its clients here
receive against one deadline, are never asked once their connection is lost, and their answers are
checked.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from abc import abstractmethod
from collections import Counter
from typing import Any

from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException

from xlvla.errors import XlvlaError
from xlvla_drivers import thread_clock
from xlvla_drivers.device import LinkLost
from xlvla_drivers.hands import inspire_frames as wire
from xlvla_drivers.hands.inspire_registers import Registers, host_and_port

CONNECT_S = 1.0
"""Also until a write that the port does not take is given up; a hand that is gone is noticed by its
silence long before.
"""


class _Punctual:
    """A client that receives until a moment (of `awake`), not for a while."""

    socket: Any
    until_s = 0.0

    def recv(self, size: int | None) -> bytes:
        """What has arrived, empty after `until_s`."""
        try:
            return _arrived(self.socket.fileno(), self.until_s)
        except OSError as error:
            raise ConnectionException(str(error)) from None


def _arrived(descriptor: int, until_s: float) -> bytes:
    """What has arrived, waiting until then for the first of it; OSError where the other end is
    gone.
    """
    if not thread_clock.wait([descriptor], until_s):
        return b""
    try:
        data = os.read(descriptor, 4096)
    except BlockingIOError:
        return b""
    if not data:
        raise OSError("the other end hung up")
    return data


class _SerialClient(_Punctual, ModbusSerialClient): ...


class _TcpClient(_Punctual, ModbusTcpClient): ...


class ModbusRegisters(Registers):
    """Either wire.

    Args:
        high_first: the first of two one-byte values is a register's high byte.

    Attributes:
        quiet_s: silence after which no answer to a failed request can come any more.
        envelope: bytes around an answer.
        refused: what a whole answer suffers from that pymodbus does not take.
    """

    quiet_s = 0.0
    envelope = 0
    refused = ""

    def __init__(self, address: str, hand_id: int, counts: Counter[str], high_first: bool):
        super().__init__(address, hand_id, counts)
        self._high_first = high_first
        self._client: Any = None
        self._received = b""
        self._settled = True

    @abstractmethod
    def _connected(self) -> Any:
        """A client with an open connection; raises LinkLost."""

    def open(self) -> None:
        # It writes to the terminal what `counts` says.
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        self.close()
        self._client = self._connected()

    def close(self) -> None:
        client = self._client
        self._client = None
        if client is not None:
            with contextlib.suppress(Exception):
                client.close()

    def _read(self, address: int, size: int, until_s: float) -> bytes | None:
        count = size // 2
        answer = self._ask(
            "read_holding_registers", until_s, size + 2, address=address, count=count
        )
        if answer is None or len(getattr(answer, "registers", ())) != count:
            return self._unexpected(answer)
        return wire.from_registers(address, answer.registers, self._high_first)

    def _write(self, address: int, data: bytes, until_s: float) -> bytes | None:
        if len(data) == 1:
            answer = self._ask("write_register", until_s, address=address, value=data[0])
        else:
            registers = wire.to_registers(address, data, self._high_first)
            answer = self._ask("write_registers", until_s, address=address, values=registers)
        if answer is None or answer.function_code not in (6, 16) or answer.address != address:
            return self._unexpected(answer)
        return b"\x01"

    def _ask(self, method: str, until_s: float, expected: int = 5, **request: Any) -> Any:
        """One request's answer, None when none came in time that could be read."""
        self._received = b""
        try:
            client = self._opened()
            self._forget(client.socket.fileno(), until_s)
            client.until_s = until_s
            self._settled = False
            answer = getattr(client, method)(device_id=self.hand_id, **request)
        except (ConnectionException, OSError) as error:
            self.close()
            raise LinkLost(f"{self.address} is gone: {error}") from None
        except ModbusException:
            if self._received:
                whole = len(self._received) >= expected + self.envelope
                self.counts[self.refused if whole else "truncated"] += 1
            return None
        self._settled = True
        self.counts["duplicated"] += len(self._received) > expected + self.envelope
        if answer.isError():
            raise XlvlaError(
                f"{self.address}: the hand refuses register {request['address']} ({answer}): check "
                "options.model"
            )
        return answer

    def _unexpected(self, answer: Any) -> None:
        if answer is not None:
            self.counts["unexpected"] += 1
            self._settled = False

    def _opened(self) -> Any:
        if self._client is None or not self._client.connected:
            raise OSError("the connection was closed")
        return self._client

    def _forget(self, descriptor: int, until_s: float) -> None:
        """What is still on the line answers an older request: an answer to the next one must not be
        mistaken for it.
        """
        quiet_s = 0.0 if self._settled else self.quiet_s
        while (now_s := thread_clock.now_s()) < until_s and _arrived(descriptor, now_s + quiet_s):
            self.counts["unexpected"] += 1

    def _listen(self, sending: bool, data: bytes) -> bytes:
        """pymodbus shows every packet, what it received from the answer's beginning on."""
        if not sending:
            self._received = data
        return data

    @property
    def _settings(self) -> dict[str, Any]:
        return {"timeout": CONNECT_S, "retries": 0, "trace_packet": self._listen}


class RtuRegisters(ModbusRegisters):
    """Modbus-RTU over a serial port. Its answers do not say to what they answer, so after a failure
    the line must fall quiet.
    """

    largest_read = 64
    quiet_s = 0.01
    envelope = 3
    refused = "corrupt"

    def __init__(
        self, address: str, hand_id: int, counts: Counter[str], high_first: bool, baud: int
    ):
        super().__init__(address, hand_id, counts, high_first)
        self._baud = baud

    def _connected(self) -> Any:
        client = _SerialClient(self.address, baudrate=self._baud, **self._settings)
        if not client.connect() or client.socket is None:
            raise LinkLost(
                f"cannot open {self.address}: is the device plugged in, and no other program using "
                "it?"
            )
        with contextlib.suppress(OSError, ValueError, NotImplementedError):
            client.socket.set_low_latency_mode(True)
        return client


class TcpRegisters(ModbusRegisters):
    """Modbus-TCP, whose answers bear the request's number; the address is host or host:port."""

    largest_read = 250
    envelope = 7
    refused = "late"

    def _connected(self) -> Any:
        host, port = host_and_port(self.address)
        client = _TcpClient(host, port=port, **self._settings)
        try:
            client.socket = socket.create_connection((host, port), timeout=CONNECT_S)
        except OSError as error:
            raise LinkLost(f"cannot connect to the hand at {self.address}: {error}") from None
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.socket.setblocking(False)
        return client
