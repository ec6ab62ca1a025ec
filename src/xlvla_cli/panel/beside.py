"""The panel as a process beside a rig: whatever becomes of it, the rig goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.text import plain, uncoloured

END_S = 5.0
"""How long it may take to end after SIGINT."""


def refuse_unless_installed() -> None:
    if find_spec("viser") is None:
        raise XlvlaError("--panel needs 'viser': pip install 'xlvla[panel]'")


@contextlib.contextmanager
def panel_beside(rig: Rig, domain: int | None, say: Callable[[str], None]) -> Iterator[None]:
    """Serves the panel of a rig while inside.

    Args:
        domain: ROS domain; None keeps the environment's.
        say: gets the lines that it prints, its address first; from a thread.
    """
    with tempfile.TemporaryDirectory(prefix="xlvla-panel-") as folder:
        path = rig.save(Path(folder) / f"{rig.name}.yaml")
        command = [sys.executable, "-m", "xlvla_cli", "panel", str(path)]
        if domain is not None:
            command += ["--domain", str(domain)]
        process = subprocess.Popen(
            command,
            # It ends with this process, however that ends.
            env={**os.environ, "PYTHONUNBUFFERED": "1", "XLVLA_SUPERVISOR_PID": str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        threading.Thread(target=_listen, args=(process, say), name="panel", daemon=True).start()
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listen(process: subprocess.Popen[str], say: Callable[[str], None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip():
            say(plain(uncoloured(line.rstrip())))
    code = process.wait()
    if code not in (0, -signal.SIGINT):
        say(f"the panel ended with exit code {code}; the rig goes on. `xlvla panel` opens it again")
