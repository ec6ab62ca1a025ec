"""Every emulated device of a rig, in one process; the drivers find them where they would find the
real ones.
"""

from __future__ import annotations

import sys
import threading

from xlvla.ros import priority
from xlvla.ros.main import run
from xlvla.ros.node import RigNode
from xlvla_drivers.ros.emulator_loop import EmulatorLoop

SWITCH_S = 0.0005
"""How long one emulator may keep the others from answering; a driver waits for less than a tenth of
a second.
"""


class EmulatorsNode(RigNode):
    """Starts the emulators, and injects faults on request, on `/emulators/inject`."""

    def __init__(self) -> None:
        super().__init__("emulators")
        self._configured: EmulatorLoop | None = None

    @property
    def up(self) -> bool:
        return self._configured is not None and self._configured.up

    def configure(self) -> None:
        # A real device has a processor of its own.
        priority.hasten(priority.DEVICE)
        sys.setswitchinterval(SWITCH_S)
        self._configured = EmulatorLoop(self)

    def work(self, stop: threading.Event) -> None:
        assert self._configured is not None
        self._configured.run(stop)


def main() -> None:
    run(EmulatorsNode)


if __name__ == "__main__":
    main()
