"""What a worker of xdist left when it ended without a word, printed at the end of the run: its
signal, and the stacks of its threads. Standard error would have them in the middle, if at all.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import subprocess
import tempfile
from pathlib import Path
from typing import IO

import pytest

WAIT_S = 5.0
"""How long a worker may take to be gone after its channel closed."""

LINES = 80
"""Of a worker's stacks, so many of the last are printed."""


def _stacks(run: str, worker: str) -> Path:
    return Path(tempfile.gettempdir()) / f"xlvla-tests-{run}-{worker}.stacks"


class Plugin:
    """In a worker it keeps the stacks, in the process that prints it shows them."""

    def __init__(self) -> None:
        self._file: IO[str] | None = None
        self._ended: list[tuple[str, int | None, str]] = []

    def pytest_sessionstart(self) -> None:
        worker = os.environ.get("PYTEST_XDIST_WORKER")
        if worker:
            self._file = _stacks(os.environ["PYTEST_XDIST_TESTRUNUID"], worker).open("w")
            faulthandler.enable(self._file)

    def pytest_sessionfinish(self) -> None:
        if self._file is not None:
            faulthandler.enable()
            self._file.close()
            Path(self._file.name).unlink(missing_ok=True)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node, error) -> None:
        if not error:
            return
        path = _stacks(node.workerinput["testrunuid"], node.gateway.id)
        said = path.read_text() if path.exists() else ""
        path.unlink(missing_ok=True)
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = node.gateway._io.popen.wait(WAIT_S)
        self._ended.append((node.gateway.id, code, said))

    def pytest_terminal_summary(self, terminalreporter) -> None:
        for worker, code, said in self._ended:
            terminalreporter.section(f"worker {worker} ended with exit code {code}", red=True)
            terminalreporter.write_line(
                "\n".join(said.splitlines()[-LINES:])
                or "It left no stacks: it ended itself, or was killed from outside."
            )
