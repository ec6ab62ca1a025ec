"""The process of an emulated robot that speaks DDS, which may not be beside ROS's: asked by its
parent in JSON over a socket.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from xlvla.errors import XlvlaError

START_S = 60.0
ANSWER_S = 5.0
LAG_S = 0.1
"""A body that could not run is not moved faster to make up for more than this."""


class BodyProcess:
    """Runs `python -m MODULE *arguments DESCRIPTOR` until it is ended.

    Args:
        name: what it is the body of, such as "the emulated G1 at lo@1".
    """

    def __init__(self, name: str, module: str, *arguments: str):
        self.name = name
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        descriptor = theirs.fileno()
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments, str(descriptor)],
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        self._line.settimeout(START_S)

    def ask(self, **message: Any) -> Any:
        """Its answer; XlvlaError where it has died."""
        try:
            self._line.send(json.dumps(message).encode())
            answer = json.loads(self._line.recv(65536) or b"null")
        except (OSError, ValueError) as error:
            raise XlvlaError(f"{self.name} has died: {error}") from None
        if answer is None:
            raise XlvlaError(f"{self.name} has died")
        self._line.settimeout(ANSWER_S)
        return answer

    def end(self) -> None:
        self._line.close()
        try:
            self._process.wait(ANSWER_S)
        except subprocess.TimeoutExpired:
            self._process.kill()


def serve(
    descriptor: int, rate_hz: float, step: Callable[[], None], obey: Callable[[Any], Any]
) -> None:
    """In the body's process: steps at a rate, and obeys its parent until that is gone."""
    parent = socket.socket(fileno=descriptor)
    parent.setblocking(False)
    next_s = time.monotonic()
    while True:
        try:
            asked = parent.recv(65536)
            if not asked:
                return
            parent.send(json.dumps(obey(json.loads(asked))).encode())
        except BlockingIOError:
            pass
        step()
        next_s = max(next_s + 1 / rate_hz, time.monotonic() - LAG_S)
        time.sleep(max(next_s - time.monotonic(), 0))
