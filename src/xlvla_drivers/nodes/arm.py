"""The driver of one side's arm."""

from __future__ import annotations

from xlvla.ros.main import run
from xlvla_drivers.ros.device_node import DeviceNode


class ArmNode(DeviceNode):
    def __init__(self) -> None:
        super().__init__("arm")


def main() -> None:
    run(ArmNode)


if __name__ == "__main__":
    main()
