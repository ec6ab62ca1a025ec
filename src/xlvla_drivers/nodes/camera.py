"""The driver of one camera: its pictures as the rig publishes them, and its status."""

from __future__ import annotations

import threading

from xlvla.ros.main import run
from xlvla.ros.node import RigNode
from xlvla_drivers.ros.camera_loop import CameraLoop


class CameraNode(RigNode):
    """One camera of the rig, which is the node's parameter `part`. A thread of its own waits for
    pictures.
    """

    def __init__(self) -> None:
        super().__init__("camera")
        self.health.name = self.get_name()
        self._configured: CameraLoop | None = None

    @property
    def up(self) -> bool:
        return self._configured is not None and self._configured.up

    def configure(self) -> None:
        self._configured = CameraLoop(self, self.parameter("part"))

    def work(self, stop: threading.Event) -> None:
        assert self._configured is not None
        self._configured.run(stop)

    def _report(self) -> None:
        if self._configured is not None:
            self._configured.report()
        super()._report()


def main() -> None:
    run(CameraNode)


if __name__ == "__main__":
    main()
