"""Teleoperation: what an operator does becomes chunks for motion, as fast as it is seen."""

from __future__ import annotations

import sys
import threading
from typing import Any

from xlvla.errors import XlvlaError
from xlvla.ros import priority, topics
from xlvla.ros.main import run
from xlvla.ros.node import RigNode
from xlvla_drivers.ros.teleop_loop import TeleopLoop

SWITCH_S = 0.0005
"""How long a thread of a source may keep the one that follows from running."""


class TeleopNode(RigNode):
    """One thread reads the source and follows, a sample at a time; services only leave requests for
    it.
    """

    def __init__(self) -> None:
        super().__init__("teleop")
        self._configured: TeleopLoop | None = None

    @property
    def _loop(self) -> TeleopLoop:
        """Only of a configured node: before that it neither works nor has services."""
        assert self._configured is not None
        return self._configured

    def configure(self) -> None:
        if self.rig.teleop is None:
            raise XlvlaError(
                f"rig '{self.rig.name}' has no `teleop` section, so it cannot be teleoperated"
            )
        sys.setswitchinterval(SWITCH_S)
        self.health.fact("scheduling", priority.hasten())
        self._configured = TeleopLoop(self, self.rig.teleop)
        self.serve(topics.TELEOP_CLUTCH, self._on_clutch)

    def work(self, stop: threading.Event) -> None:
        self._loop.run(stop)

    def _on_clutch(self, request: Any) -> str:
        return self._loop.clutch(bool(request.data))


def main() -> None:
    run(TeleopNode)


if __name__ == "__main__":
    main()
