"""The node of any device: commands in, joint states and device status out."""

from __future__ import annotations

import threading
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from xlvla.errors import XlvlaError, unknown
from xlvla.ros import priority, topics
from xlvla.ros.node import RigNode
from xlvla.types import Part, Side
from xlvla_drivers.ros.device_loop import DeviceLoop

RECOVER_TIMEOUT_S = 10.0


class DeviceNode(RigNode):
    """One device of one side, which is the node's parameter `part`.

    One thread talks to the device and may block on it; ROS is served by another.
    """

    def __init__(self, part: Part):
        super().__init__(part)
        self.health.name = self.get_name()
        self._part: Part = part
        self._configured: DeviceLoop | None = None

    @property
    def _loop(self) -> DeviceLoop:
        """Only of a configured node: before that it neither works nor has services."""
        assert self._configured is not None
        return self._configured

    @property
    def up(self) -> bool:
        return self._configured is not None and self._configured.up

    def configure(self) -> None:
        self.health.fact("scheduling", priority.hasten())
        side = self._side()
        self._configured = DeviceLoop(self, side, self._part)
        self.serve(topics.recover(side, self._part), self._on_recover)

    def work(self, stop: threading.Event) -> None:
        self._loop.run(stop)

    def _side(self) -> Side:
        """The side that the parameter names."""
        name = self.parameter("part")
        for side in self.rig.sides:
            if side == name:
                return side
        raise unknown("side", name, self.rig.sides)

    def _on_recover(self, request: Any) -> str:
        try:
            return self._loop.link.recover().result(RECOVER_TIMEOUT_S)
        except FutureTimeout:
            raise XlvlaError(
                f"the device did not recover within {RECOVER_TIMEOUT_S:.0f} s"
            ) from None

    def _report(self) -> None:
        if self._configured is not None:
            self._configured.report()
        super()._report()
