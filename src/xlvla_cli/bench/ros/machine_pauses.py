"""What the machine itself allows: how long it pauses, and how many deadlines a bare thread misses
on it.

No process, however urgent, is a match for a host that takes the processors away.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass, field

from xlvla.ros import priority, supervision
from xlvla.ros.clock import Clock

PRIORITY = 60
"""Above every loop of ours."""
PERIOD_S = 0.005
LONG_S = 0.05
"""What is counted: less than a driver waits for an answer."""


@dataclass
class MachinePauses:
    """Filled when the measurement ends.

    Attributes:
        pauses_s: pauses [s] of more than LONG_S.
        missed: deadlines missed by a thread that does nothing else, as urgent as a device's loop;
            motion's may be more so (`priority`).
    """

    pauses_s: list[float] = field(default_factory=list[float])
    missed: int = 0

    def __str__(self) -> str:
        long_ms = f"{LONG_S * 1000:.0f} ms"
        if not self.pauses_s:
            return f"the machine never stood still for more than {long_ms}"
        return (
            f"the machine itself stood still {len(self.pauses_s)} times for more than {long_ms} "
            f"(longest {max(self.pauses_s) * 1000:.0f} ms)"
        )


@contextlib.contextmanager
def measured(rate_hz: float) -> Generator[MachinePauses]:
    """Measures in a process of its own for as long as the context lasts, the bare thread's
    deadlines at this rate.
    """
    pauses = MachinePauses()
    environment = {**os.environ, supervision.PARENT: str(os.getpid())}
    watch = subprocess.Popen(
        [sys.executable, "-m", __name__, str(rate_hz)],
        env=environment,
        start_new_session=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield pauses
    finally:
        watch.terminate()
        output, _ = watch.communicate(timeout=5.0)
        pauses.pauses_s, pauses.missed = json.loads(output or "[[], 0]")


def main() -> None:
    """Sleeps a little again and again until SIGTERM, then prints the pauses [s] and the bare
    thread's missed deadlines as JSON.
    """
    supervision.follow_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ended = threading.Event()
    missed = list[int]()
    signal.signal(signal.SIGTERM, lambda number, frame: ended.set())
    priority.hasten()

    def tick() -> None:
        for _, late in Clock().ticks(float(sys.argv[1]), ended):
            if late:
                missed.append(late)

    bare = threading.Thread(target=tick)
    bare.start()
    # Above the thread that is measured; where the machine does not allow it, as urgent as that.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    pauses: list[float] = []
    before = time.monotonic()
    while not ended.is_set():
        time.sleep(PERIOD_S)
        now = time.monotonic()
        if now - before > LONG_S:
            pauses.append(round(now - before, 4))
        before = now
    bare.join()
    print(json.dumps([pauses, sum(missed)]))


if __name__ == "__main__":
    main()
