"""The driver of one side's hand."""

from __future__ import annotations

from xlvla.ros.main import run
from xlvla_drivers.ros.device_node import DeviceNode


class HandNode(DeviceNode):
    def __init__(self) -> None:
        super().__init__("hand")


def main() -> None:
    run(HandNode)


if __name__ == "__main__":
    main()
