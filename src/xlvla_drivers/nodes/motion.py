"""Motion: the only publisher of commands, for every source (policy, teleoperation, replay)."""

from __future__ import annotations

import threading
from typing import Any

from xlvla.ros import priority, topics
from xlvla.ros.main import run
from xlvla.ros.node import RigNode
from xlvla_drivers.ros.motion_loop import MotionLoop


class MotionNode(RigNode):
    """The control loop has its own thread and the clock's deadlines; services only set what it
    looks at.

    A simulated rig starts engaged, hardware does not.
    """

    def __init__(self) -> None:
        super().__init__("motion")
        self._configured: MotionLoop | None = None

    @property
    def _loop(self) -> MotionLoop:
        """Only of a configured node: before that it neither works nor has services."""
        assert self._configured is not None
        return self._configured

    def configure(self) -> None:
        self.health.fact("scheduling", priority.hasten(processors=priority.PROCESSORS_OF_ONE))
        self._configured = MotionLoop(self)
        self.serve(topics.ESTOP, self._on_estop)
        self.serve(topics.MOTION_RESET, self._on_reset)
        self.serve(topics.ENGAGE, self._on_engage)
        self.serve(topics.HOME, self._on_home)

    def work(self, stop: threading.Event) -> None:
        self._loop.run(stop)

    def _on_estop(self, request: Any) -> str:
        self._loop.emergency_stop()
        return f"stopped; {topics.MOTION_RESET.name} ends it"

    def _on_reset(self, request: Any) -> str:
        self._loop.reset()
        return f"reset; {topics.ENGAGE.name} plays chunks again"

    def _on_engage(self, request: Any) -> str:
        self._loop.engage(bool(request.data))
        if request.data:
            return "engaged"
        return "disengaged; the last command holds"

    def _on_home(self, request: Any) -> str:
        self._loop.go_home()
        return "going home; chunks wait until it is there"

    def _report(self) -> None:
        if self._configured is not None:
            self._configured.report()
        super()._report()


def main() -> None:
    run(MotionNode)


if __name__ == "__main__":
    main()
