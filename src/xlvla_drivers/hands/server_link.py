"""The driver's end of a device that a process of its own serves (`paxini_server.py`,
`dex3_server.py`): the process, and lines of JSON over a socket to it.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from xlvla.errors import XlvlaError
from xlvla_drivers import thread_clock
from xlvla_drivers.device import LINK_TIMEOUT_S, LinkLost

START_S = 15.0
"""The server looks for the hand, and may home it."""
FIRST_S = 2.0
PART_S = 3.0
HUNG_S = 0.1
FRESH_S = 0.03
"""A state no older than this need not be waited for."""


class ServerLink:
    """A server and the socket to it; every method but `close` raises LinkLost once the server is
    gone.

    Args:
        counts: what the link had to survive.
        served: what the process is that of, such as "the vendor's SDK".
        remedy: what to do where trying again is of no use.
    """

    def __init__(self, counts: Counter[str], served: str, remedy: str = ""):
        self.counts = counts
        self._served = served
        self._remedy = f": {remedy}" if remedy else ""
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._patience_s = PART_S
        self._forget()

    def open(self, command: Sequence[str]) -> str:
        """Starts a server by its command, which gets the socket's number as its last argument; the
        side of the hand it found.
        """
        self.close()
        self._socket, theirs = socket.socketpair()
        self._socket.settimeout(LINK_TIMEOUT_S)
        with theirs:
            self._process = self._started([*command, str(theirs.fileno())], theirs.fileno())
        try:
            self._await(self._has_answer, START_S)
            self._await(self._has_state, FIRST_S)
            return self._answers.pop("ready")
        except XlvlaError:
            self.close()
            raise

    def states(self) -> list[dict[str, Any]]:
        """All states that arrived since; waits for one where the newest has grown old."""
        self._receive_states(thread_clock.NOW)
        while time.monotonic() - self._newest_s > FRESH_S:
            until_s = self._received_s + LINK_TIMEOUT_S
            if not self._receive_states(until_s) and thread_clock.now_s() > until_s:
                self._patience_s = HUNG_S
                raise LinkLost(f"nothing new of the hand for {1e3 * LINK_TIMEOUT_S:.0f} ms")
        self._patience_s = PART_S
        states = self._states
        self._states = []
        return states

    def say(self, **message: Any) -> None:
        try:
            self._opened().sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            raise self._ended() from None

    def ask(self, what: str, answer: str, timeout_s: float) -> Any:
        self.say(**{what: True})
        self._await(lambda: answer in self._answers, timeout_s)
        # There was no state while the SDK was busy.
        self._newest_s = time.monotonic()
        self._received_s = thread_clock.now_s()
        return self._answers.pop(answer)

    def close(self) -> None:
        """The server disables the motors by itself when the socket ends; one that hangs is killed
        and the motors hold.
        """
        process = self._process
        self._process = None
        connection = self._socket
        self._socket = None
        self._forget()
        if connection is not None:
            connection.close()
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self._patience_s)
            process.kill()
            process.wait()
        self._patience_s = PART_S

    def _has_answer(self) -> bool:
        return bool(self._answers)

    def _has_state(self) -> bool:
        return bool(self._states)

    def _forget(self) -> None:
        self._buffer = b""
        self._states: list[dict[str, Any]] = []
        self._answers: dict[str, Any] = {}
        # When the newest state was made (monotonic clock), and when it came (`thread_clock`).
        self._newest_s = 0.0
        self._received_s = 0.0

    def _await(self, done: Callable[[], bool], timeout_s: float) -> None:
        until_s = thread_clock.now_s() + timeout_s
        while not done():
            if thread_clock.now_s() > until_s:
                raise LinkLost(
                    f"the process of {self._served} did not answer within {timeout_s:.0f} s"
                )
            self._receive_states(until_s)

    def _receive_states(self, until_s: float) -> bool:
        """Takes in what has arrived, waiting until then for the first of it; whether anything
        had.
        """
        connection = self._opened()
        if not thread_clock.wait([connection], until_s):
            return False
        try:
            data = connection.recv(1 << 20)
        except OSError:
            data = b""
        if not data:
            raise self._ended()
        *lines, rest = (self._buffer + data).split(b"\n")
        self._buffer = rest
        for line in lines:
            self._take(line)
        return True

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            self.counts["corrupt"] += 1
            return
        if "unusable" in message:
            raise XlvlaError(f"{message['unusable']}{self._remedy}")
        if "lost" in message:
            raise LinkLost(f"{self._served}: {message['lost']}")
        if "state" in message:
            self._states.append(message["state"])
            # The monotonic clock is one for all processes of a machine.
            at_s = message["state"]["at"]
            first = self._newest_s == 0.0
            self.counts["late"] += not first and at_s - self._newest_s > FRESH_S
            self._newest_s = at_s
            self._received_s = thread_clock.now_s()
        else:
            self._answers.update(message)

    def _opened(self) -> socket.socket:
        if self._socket is None:
            raise LinkLost(f"no process of {self._served} is running")
        return self._socket

    def _ended(self) -> LinkLost:
        if self._process is None:
            return LinkLost(f"the process of {self._served} ended (unknown)")
        try:
            code = self._process.wait(0.01)
        except subprocess.TimeoutExpired:
            return LinkLost(f"the process of {self._served} hung up")
        return LinkLost(f"the process of {self._served} ended ({code})")

    def _started(self, command: Sequence[str], descriptor: int) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        if command[0] != sys.executable:
            # They are meant for this Python.
            environment = {
                name: value for name, value in environment.items() if not name.startswith("PYTHON")
            }
        try:
            return subprocess.Popen(
                command,
                pass_fds=[descriptor],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise XlvlaError(
                f"cannot run '{command[0]}' ({error.strerror}){self._remedy}"
            ) from None
