"""The client's end of openpi's websocket: one request, one answer.

The wire numbers neither requests nor answers: an answer that is not waited for is taken for that to
the next request, and so on for good. Whatever interrupts a request therefore ends the connection,
and the next request makes a new one.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from xlvla.errors import XlvlaError
from xlvla.text import plain
from xlvla_policy.openpi import wire

RETRY_S = 1.0
"""A server that failed is not asked again sooner."""
CLOSING_S = 0.1


class Connection:
    """Asks a server; for one thread.

    Args:
        address: ws://host:port or wss://host:port.
        timeout_s: longest wait for an answer, and for a connection with the server's metadata.
        refuse: called with the metadata of every new connection; raises XlvlaError where the server
            is not the one that is wanted.
    """

    def __init__(
        self,
        address: str,
        timeout_s: float,
        refuse: Callable[[Mapping[str, Any]], None] = lambda metadata: None,
    ):
        self.address = address
        self._timeout_s = timeout_s
        self._refuse = refuse
        self._connection: ClientConnection | None = None
        self._retry_at = 0.0
        self._failure = ""

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The server's answer to this request and to no other.

        Raises:
            XlvlaError: no server, no answer in time, or none that is one; the connection is closed
                then.
        """
        if time.monotonic() < self._retry_at:
            raise XlvlaError(self._failure)
        try:
            if self._connection is None:
                self._connection = self._open()
            self._refuse_unasked(self._connection)
            return self._read(self._exchange(self._connection, wire.packed(request)))
        except XlvlaError as error:
            self._failure = str(error)
            self._retry_at = time.monotonic() + RETRY_S
            self.close()
            raise
        except BaseException:  # an interruption by the user, too
            self.close()
            raise

    def close(self) -> None:
        """Ends the connection; waits for no answer."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        _break(connection)
        connection.close()

    def _open(self) -> ClientConnection:
        """A new connection whose metadata is accepted."""
        with self._naming("cannot be reached"):
            connection = connect(
                self.address,
                open_timeout=self._timeout_s,
                close_timeout=CLOSING_S,
                # The time of every answer is limited; a server that computes answers no pings.
                ping_interval=None,
                compression=None,
                max_size=wire.ANSWER_BYTES,
                max_queue=1,
                proxy=None,
            )
        # From here on it is closed by `ask`, whatever happens.
        self._connection = connection
        with self._naming("sent no metadata"):
            frame = connection.recv(self._timeout_s)
        self._refuse(self._read(frame))
        return connection

    def _exchange(self, connection: ClientConnection, request: bytes) -> bytes:
        """Sends a request and waits for the next message."""
        ends = threading.Timer(self._timeout_s, _break, [connection])
        ends.daemon = True
        began = time.monotonic()
        ends.start()
        try:
            with self._naming("ended the connection"):
                connection.send(request)
                answer = connection.recv()
        except XlvlaError:
            if time.monotonic() - began < self._timeout_s:
                raise
            line = f"the policy server {self.address} gave no answer within {self._timeout_s:g} s"
            raise XlvlaError(f"{line} (policy.server.timeout_s)") from None
        finally:
            ends.cancel()
        if isinstance(answer, str):
            # openpi sends its traceback as text; its last line is the error.
            reason = plain((answer.strip().splitlines() or ["no reason given"])[-1], 200)
            raise XlvlaError(f"the policy server {self.address} failed: {reason}")
        return answer

    def _refuse_unasked(self, connection: ClientConnection) -> None:
        """An answer to nothing would be taken for that to the next request."""
        with self._naming("ended the connection"), contextlib.suppress(TimeoutError):
            connection.recv(0)
            raise XlvlaError(
                f"the policy server {self.address} sent more answers than it was asked for"
            )

    def _read(self, frame: bytes | str) -> dict[str, Any]:
        try:
            return wire.unpacked(frame)
        except XlvlaError as error:
            raise XlvlaError(
                f"the policy server {self.address} speaks otherwise: {error}"
            ) from None

    @contextlib.contextmanager
    def _naming(self, what: str) -> Iterator[None]:
        """Errors of the connection as one line."""
        try:
            yield
        except (OSError, WebSocketException, EOFError) as error:
            reason = plain(str(error) or type(error).__name__, 200)
            raise XlvlaError(f"the policy server {self.address} {what}: {reason}") from None


def _break(connection: ClientConnection) -> None:
    """Ends a connection from any thread, also while another one sends or receives."""
    with contextlib.suppress(OSError):
        connection.socket.shutdown(socket.SHUT_RDWR)
