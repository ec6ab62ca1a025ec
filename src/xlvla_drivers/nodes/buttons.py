"""A pedal or gamepad: what its keys do to the recorder, the clutch and the e-stop."""

from __future__ import annotations

import threading

from xlvla.ros import priority
from xlvla.ros.main import run
from xlvla.ros.node import RigNode
from xlvla_drivers.ros.button_loop import ButtonLoop


class ButtonsNode(RigNode):
    """One entry of the rig's `buttons`, whose name is the node's parameter `part`. A thread of its
    own waits for keys.
    """

    def __init__(self) -> None:
        super().__init__("buttons")
        self.health.name = self.get_name()
        self._configured: ButtonLoop | None = None

    def configure(self) -> None:
        self.health.fact("scheduling", priority.hasten())
        self._configured = ButtonLoop(self, self.parameter("part"))

    def work(self, stop: threading.Event) -> None:
        assert self._configured is not None
        self._configured.run(stop)


def main() -> None:
    run(ButtonsNode)


if __name__ == "__main__":
    main()
