"""Processes that a test watches."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WAIT_S = 40.0


def until(true: Callable[[], Any], otherwise: str, seconds: float = WAIT_S) -> Any:
    give_up = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.05)
    return value


def running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
