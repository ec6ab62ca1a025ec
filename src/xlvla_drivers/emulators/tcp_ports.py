"""The wire of an emulated network device: TCP ports that answer requests and push reports, served
from one thread.
"""

from __future__ import annotations

import contextlib
import errno
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from xlvla.errors import XlvlaError
from xlvla_drivers.emulators.emulator import Faults

LOOK_S = 0.02
"""How long a fault or the end may go unnoticed."""

WIRE_FAULTS = ("unplug", "bad_header", "truncated", "duplicated", "late")


@dataclass(frozen=True)
class Answers:
    """A port that answers: takes whole requests off a client's buffer, returns the frames to send
    back.
    """

    answer: Callable[[bytearray], Iterable[bytes]]


@dataclass(frozen=True)
class Pushes:
    """A port that pushes a frame at a rate to whoever connects."""

    rate_hz: float
    frame: Callable[[], bytes]


@dataclass
class _Client:
    socket: socket.socket
    port: int
    buffer: bytearray = field(default_factory=bytearray)
    frames: int = 0


class TcpPorts:
    """Serves ports of one host between `start` and `stop`.

    Unplugged, it neither hears nor speaks nor lets anybody in; plugged in again, clients of before
    find their line cut.

    Args:
        host: the address to listen at.
        ports: what each port does.
        faults: those of `WIRE_FAULTS` the emulator suffers from. A bad frame is every `hit_every`th
            one a client gets.
        corrupt: a frame of a port as a fault ('bad_header' or 'truncated') makes it.
    """

    hit_every = 3
    late_s = 0.03

    def __init__(
        self,
        host: str,
        ports: Mapping[int, Answers | Pushes],
        faults: Faults,
        corrupt: Callable[[str, int, bytes], bytes],
    ):
        self.host = host
        self._ports = ports
        self._faults = faults
        self._corrupt = corrupt
        self._listeners: dict[int, socket.socket] = {}
        self._clients: list[_Client] = []
        # When each port pushes next.
        self._due_s = {port: 0.0 for port, does in ports.items() if isinstance(does, Pushes)}
        self._late: deque[tuple[float, _Client, bytes]] = deque()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Opens the ports; clients can connect when this returns."""
        self._stop.clear()
        self._selector = selectors.DefaultSelector()
        self._plug()
        self._thread = threading.Thread(
            target=self._serve, name=f"emulator {self.host}", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join()
        self._thread = None
        self._unplug()
        self._hang_up()
        self._selector.close()

    def _serve(self) -> None:
        while not self._stop.is_set():
            if "unplug" in self._faults:
                self._unplug()
            elif not self._listeners:
                self._hang_up()
                self._plug()
            for key, _ in self._selector.select(self.pause_s()):
                if isinstance(key.data, _Client):
                    self._on_data(key.data)
                else:
                    self._let_in(key.data)
            if self._listeners:
                self._push()
                self._send_late()

    def pause_s(self) -> float:
        """Until the next frame is due [s]; short enough to notice a fault or the end."""
        if not self._listeners:  # unplugged: nothing is due, to clients of before either
            return LOOK_S
        next_s = time.monotonic() + LOOK_S
        for client in self._clients:
            next_s = min(next_s, self._due_s.get(client.port, next_s))
        if self._late:
            due_s, _, _ = self._late[0]
            next_s = min(next_s, due_s)
        return max(next_s - time.monotonic(), 0.0)

    def _let_in(self, port: int) -> None:
        accepted, _ = self._listeners[port].accept()
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = _Client(accepted, port)
        self._clients.append(client)
        self._selector.register(accepted, selectors.EVENT_READ, client)

    def _on_data(self, client: _Client) -> None:
        try:
            data = client.socket.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._forget(client)
            return
        does = self._ports[client.port]
        if isinstance(does, Answers):
            client.buffer += data
            for frame in does.answer(client.buffer):
                self._say(client, frame)

    def _push(self) -> None:
        for port, due_s in self._due_s.items():
            listening = [client for client in self._clients if client.port == port]
            if not listening or time.monotonic() < due_s:
                continue
            does = self._ports[port]
            assert isinstance(does, Pushes)
            self._due_s[port] = max(due_s + 1 / does.rate_hz, time.monotonic())
            frame = does.frame()
            for client in listening:
                self._say(client, frame)

    def _say(self, client: _Client, frame: bytes) -> None:
        """Sends a frame as its faults have it."""
        client.frames += 1
        if client.frames % self.hit_every:
            self._send(client, frame)
            return
        for fault in ("bad_header", "truncated"):
            if fault in self._faults:
                frame = self._corrupt(fault, client.port, frame)
        copies = 2 if "duplicated" in self._faults else 1
        for _ in range(copies):
            if "late" in self._faults:
                self._late.append((time.monotonic() + self.late_s, client, frame))
            else:
                self._send(client, frame)

    def _send_late(self) -> None:
        while self._late and self._late[0][0] <= time.monotonic():
            _, client, frame = self._late.popleft()
            self._send(client, frame)

    def _send(self, client: _Client, frame: bytes) -> None:
        try:
            if client.socket.send(frame) < len(frame):
                self._forget(client)
        except BlockingIOError:
            # The client does not read: this frame is lost to it.
            pass
        except OSError:
            self._forget(client)

    def _forget(self, client: _Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(client.socket)
            client.socket.close()

    def _plug(self) -> None:
        for port in self._ports:
            try:
                listener = socket.create_server((self.host, port))
            except OSError as error:
                self._unplug()
                raise XlvlaError(
                    f"cannot emulate a device at {self.host}: {_reason(error, port)}"
                ) from None
            self._listeners[port] = listener
            self._selector.register(listener, selectors.EVENT_READ, port)

    def _unplug(self) -> None:
        """Deaf and dumb; lines that are open stay open, as they do when a cable is pulled."""
        if not self._listeners:
            return
        for client in self._clients:
            self._selector.unregister(client.socket)
        for listener in self._listeners.values():
            self._selector.unregister(listener)
            listener.close()
        self._listeners.clear()
        self._late.clear()

    def _hang_up(self) -> None:
        for client in list(self._clients):
            self._forget(client)


def _reason(error: OSError, port: int) -> str:
    if isinstance(error, PermissionError):
        return (
            f"port {port} is kept for root; give the address another control port, such as "
            "127.0.0.1:1502"
        )
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} is taken; give every emulated device an address of its own, such as "
            "127.0.0.2"
        )
    return f"port {port}: {error.strerror}"
