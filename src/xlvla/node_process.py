"""The process of one node, as its launcher sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from xlvla.graph import NodeSpec
from xlvla.text import uncoloured

Listener = Callable[[str, str], None]
"""Called with a node's name and a line it printed, from any thread."""


class Running:
    """One node's process and what it printed last."""

    def __init__(self, spec: NodeSpec, process: subprocess.Popen[str], listener: Listener):
        self.spec = spec
        self.process = process
        self.ready = False
        self.busy_with = "starts Python"
        self.last_lines: deque[str] = deque(maxlen=5)
        self._listener = listener
        self._pump = threading.Thread(target=self._listen, daemon=True)
        self._pump.start()

    def last_line(self) -> str:
        """The last thing the ended process printed, without its own name in front."""
        self._pump.join(timeout=1.0)
        return self.last_lines[-1].removeprefix(f"{self.spec.name}: ") if self.last_lines else ""

    def stands_at(self) -> str:
        """What a node that is not up does, and what it printed last."""
        last_output = (
            f", last output: {self.last_lines[-1].removeprefix(f'{self.spec.name}: ')}"
            if self.last_lines
            else ", no output yet"
        )
        stopped = ", its process is stopped" if stopped_process(self.process.pid) else ""
        return f"{self.spec.name} ({self.busy_with}{stopped}{last_output})"

    def kill(self, number: signal.Signals) -> None:
        """Sends a signal to the process and everything it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in map(uncoloured, self.process.stdout):
            if line.strip():
                self.last_lines.append(line.rstrip())
                self._listener(self.spec.name, line.rstrip())


def stopped_process(pid: int) -> bool:
    """Whether a process stands still because somebody stopped it (SIGSTOP, Ctrl-Z, a debugger)."""
    try:
        return process_statistics(pid)[0] in "Tt"
    except OSError:
        return False


def process_statistics(pid: int) -> list[str]:
    """What Linux says of a process, from its state on (proc(5), `/proc/PID/stat`); OSError where
    there is none.
    """
    text = Path(f"/proc/{pid}/stat").read_text()
    return text.rpartition(")")[2].split()  # its name may have spaces and brackets
