"""An emulated Inspire hand on a serial port (vendor's frames and Modbus-RTU, told apart by their
first byte) or on Modbus-TCP.

What is not known of the real hand: how it takes a bad checksum or an address it does not have over
the vendor's frames (here: no answer), and how its taxels feel.
"""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Iterator

import numpy as np

from xlvla.types import Side
from xlvla_drivers.emulators import tcp_ports
from xlvla_drivers.emulators.emulator import Faults
from xlvla_drivers.emulators.inspire_hand import HAND_FAULTS, InspireHand
from xlvla_drivers.emulators.serial_port import WIRE_FAULTS, SerialPort
from xlvla_drivers.hands import inspire_frames as wire
from xlvla_drivers.hands.inspire import Options
from xlvla_drivers.hands.inspire_registers import host_and_port

TURNAROUND_S = 0.0035
"""With it 12 bytes are read in the 6 ms that were measured on a hand."""

_TCP_FAULTS = ("unplug", "truncated", "duplicated", "late")
"""TCP brings every frame with its own checksum: none is bad."""

_READ = 3
_WRITE_ONE = 6
_WRITE = 16
_ILLEGAL_FUNCTION = 1
_ILLEGAL_ADDRESS = 2
_ILLEGAL_VALUE = 3


class Emulator:
    """One hand behind one wire."""

    def __init__(self, address: str, side: Side, options: Options):
        tcp = options.transport == "tcp"
        on_wire = _TCP_FAULTS if tcp else WIRE_FAULTS
        self.known_faults = (*on_wire, *HAND_FAULTS)
        self._faults = Faults(self.known_faults)
        self.hand = InspireHand(side, options, self._faults)
        self.joints = self.hand.joints
        connect = _tcp if tcp else _serial
        self._port = connect(address, self.hand, options, self._faults)

    def start(self) -> None:
        self._port.start()

    def stop(self) -> None:
        self._port.stop()

    def inject(self, fault: str, on: bool = True) -> None:
        self._faults.inject(fault, on)
        if isinstance(self._port, SerialPort):
            self._port.wake()

    @property
    def position(self) -> np.ndarray:
        return self.hand.position


def _serial(address: str, hand: InspireHand, options: Options, faults: Faults) -> SerialPort:
    speech = SerialSpeech(hand, options)
    return SerialPort(address, speech.answer, faults, baud=options.baud, turnaround_s=TURNAROUND_S)


def _tcp(address: str, hand: InspireHand, options: Options, faults: Faults) -> tcp_ports.TcpPorts:
    host, port = host_and_port(address)
    modbus = Modbus(hand, options.octets_high_first)

    def answer(buffer: bytearray) -> Iterator[bytes]:
        """Modbus-TCP: transaction and protocol, then the length of what follows."""
        while len(buffer) >= 6:
            length = 6 + int.from_bytes(buffer[4:6], "big")
            if len(buffer) < length:
                return
            request = bytes(buffer[:length])
            del buffer[:length]
            time.sleep(TURNAROUND_S)
            response = modbus.answer(request[7:])
            yield request[:4] + struct.pack(">HB", len(response) + 1, request[6]) + response

    ports = {port: tcp_ports.Answers(answer)}
    return tcp_ports.TcpPorts(host, ports, faults, _truncated)


def _truncated(_fault: str, _port: int, frame: bytes) -> bytes:
    return frame[: 2 * len(frame) // 3]


class Modbus:
    """The hand's registers as Modbus functions 3, 6 and 16."""

    def __init__(self, hand: InspireHand, high_first: bool):
        self._hand = hand
        self._high_first = high_first

    def answer(self, request: bytes) -> bytes:
        """What the hand says to the request, both without what surrounds them on the wire."""
        function = request[0] if request else 0
        if function not in (_READ, _WRITE_ONE, _WRITE):
            return bytes([function | 0x80, _ILLEGAL_FUNCTION])
        error = _ILLEGAL_VALUE
        if len(request) >= 5:
            address, number = struct.unpack(">HH", request[1:5])
            if function == _READ:
                response, error = self._read(address, number)
            else:
                response, error = self._write(function, address, number, request)
            if response:
                return bytes([function]) + response
        return bytes([function | 0x80, error])

    def _read(self, address: int, count: int) -> tuple[bytes, int]:
        if not 1 <= count <= 125:
            return b"", _ILLEGAL_VALUE
        alone = _is_one_byte(address, count)
        data = self._hand.read(address, 1 if alone else 2 * count)
        if data is None:
            return b"", _ILLEGAL_ADDRESS
        registers = wire.to_registers(address, data, self._high_first)
        return struct.pack(f">B{count}H", 2 * count, *registers), 0

    def _write(self, function: int, address: int, number: int, request: bytes) -> tuple[bytes, int]:
        if function == _WRITE_ONE:
            registers = [number]
        else:
            data = request[6:]
            registers = struct.unpack(f">{len(data) // 2}H", data)
            if not len(registers) == number <= 123 or request[5] != 2 * number:
                return b"", _ILLEGAL_VALUE
        data = wire.from_registers(address, registers, self._high_first)
        if _is_one_byte(address, len(registers)):
            data = data[:1]
        if not self._hand.write(address, data):
            return b"", _ILLEGAL_ADDRESS
        return request[1:5], 0


def _is_one_byte(address: int, count: int) -> bool:
    """Whether a register of one byte is meant, the low one of Modbus's two."""
    return address < wire.SETTINGS_END and count == 1


class SerialSpeech:
    """Both tongues of a serial line."""

    def __init__(self, hand: InspireHand, options: Options):
        self._hand = hand
        self._modbus = Modbus(hand, options.octets_high_first)
        self._received = bytearray()
        self._received_s = 0.0

    def answer(self, data: bytes) -> Iterator[bytes]:
        now_s = time.monotonic()
        if now_s - self._received_s > 0.01:
            # A pause ends a frame, whatever became of it.
            self._received.clear()
        self._received_s = now_s
        self._received += data
        if self._received.startswith(b"\xeb"):
            while (frame := wire.cut_request(self._received, Counter())) is not None:
                yield from self._own(wire.parse(frame))
        else:
            yield from self._rtu()

    def _own(self, request: wire.InspireFrame) -> Iterator[bytes]:
        hand_id = self._hand.hand_id
        if request.hand_id != hand_id:
            return
        if request.command == wire.READ and len(request.data) == 1:
            data = self._hand.read(request.address, request.data[0])
            if data is not None:
                yield wire.reply(hand_id, wire.READ, request.address, data)
        elif request.command == wire.WRITE and self._hand.write(request.address, request.data):
            yield wire.reply(hand_id, wire.WRITE, request.address, b"\x01")
            if request.address == wire.SAVE:
                # A real hand takes a second for it.
                yield wire.reply(hand_id, wire.WRITE, wire.SAVE, b"\x00")

    def _rtu(self) -> Iterator[bytes]:
        while len(self._received) >= 8:
            length = 8
            if self._received[1] == _WRITE:
                # And as many bytes more as it says.
                length = 9 + self._received[6]
            if len(self._received) < length:
                return
            frame = bytes(self._received[:length])
            if crc16(frame[:-2]) != frame[-2:]:
                self._received.clear()
                return
            del self._received[:length]
            if frame[0] == self._hand.hand_id:
                response = frame[:1] + self._modbus.answer(frame[1:-2])
                yield response + crc16(response)


def crc16(data: bytes) -> bytes:
    """Modbus's checksum, low byte first."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            carry = crc & 1
            crc >>= 1
            if carry:
                crc ^= 0xA001
    return crc.to_bytes(2, "little")
