"""Every emulated device of a rig, in one process; the drivers find them where they would find the
real ones.
"""

from __future__ import annotations

import json
import sys
import threading

from std_msgs.msg import String

from xlvla.errors import XlvlaError, unknown
from xlvla.ros import forms, priority, topics
from xlvla.ros.main import run
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla_drivers import registry
from xlvla_drivers.emulators.emulator import Emulator

LOOK_S = 0.005
SWITCH_S = 0.0005
"""How long one emulator may keep the others from answering; a driver waits for less than a tenth of
a second.
"""


class EmulatorsNode(RigNode):
    """Starts the emulators and breaks them when told to, on `/emulators/inject`."""

    def __init__(self) -> None:
        super().__init__("emulators")
        self._running = False

    @property
    def up(self) -> bool:
        return self._running

    def configure(self) -> None:
        priority.hasten(priority.DEVICE)  # a real device has a processor of its own
        sys.setswitchinterval(SWITCH_S)
        self._emulators: dict[str, Emulator] = {
            f"{side} {part}": registry.emulator(registry.configured(self.rig, side, part))
            for side, part in self.rig.emulated
        }
        self._active = {part: list[str]() for part in self._emulators}
        self._orders = Reader(self, topics.INJECT, forms.WORDS)
        self._faults = self.publisher(topics.EMULATED_FAULTS)

    def work(self, stop: threading.Event) -> None:
        started: list[Emulator] = []
        try:
            for emulator in self._emulators.values():
                emulator.start()
                started.append(emulator)
            self._running = True
            self._tell()
            while not stop.wait(LOOK_S):
                for order in self._orders.every():
                    self._obey(order)
        finally:
            self._running = False
            for emulator in started:
                emulator.stop()

    def _obey(self, order: str) -> None:
        try:
            part, fault, on = self._understood(order)
            self._emulators[part].inject(fault, on)
        except XlvlaError as error:
            self._orders.refuse(error)
            return
        self._active[part] = [other for other in self._active[part] if other != fault] + [
            fault
        ] * on
        self._tell()

    def _understood(self, order: str) -> tuple[str, str, bool]:
        words = order.split()
        if len(words) != 4 or words[3] not in ("on", "off"):
            raise XlvlaError(f"'{order}' is not an order: say for example 'left hand unplug on'")
        part = " ".join(words[:2])
        if part not in self._emulators:
            raise unknown("emulated part", part, self._emulators)
        return part, words[2], words[3] == "on"

    def _tell(self) -> None:
        faults = {
            part: {"known": emulator.known_faults, "active": self._active[part]}
            for part, emulator in self._emulators.items()
        }
        self._faults.publish(String(data=json.dumps(faults)))
        suffering = [
            f"{part}: {', '.join(active)}" for part, active in self._active.items() if active
        ]
        self.health.ok("; ".join(suffering) or f"{len(self._emulators)} devices, all well")


def main() -> None:
    run(EmulatorsNode)


if __name__ == "__main__":
    main()
