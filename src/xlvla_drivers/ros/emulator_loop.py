"""The loop of the emulators' node: orders to inject faults in, active faults out."""

from __future__ import annotations

import json
import threading

from std_msgs.msg import String

from xlvla.errors import XlvlaError, unknown
from xlvla.ros import forms, topics
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla_drivers import registry
from xlvla_drivers.emulators.emulator import Emulator

LOOK_S = 0.005
"""How often orders are read."""


class EmulatorLoop:
    """Runs the emulators of a rig, and injects faults into them.

    Attributes:
        up: all emulators run.
    """

    def __init__(self, node: RigNode):
        self._health = node.health
        self._emulators: dict[str, Emulator] = {}
        # The injected faults of each part, the newest last.
        self._active: dict[str, list[str]] = {}
        for side, part in node.rig.emulated:
            label = f"{side} {part}"
            configured = registry.configured(node.rig, side, part)
            self._emulators[label] = registry.emulator(configured)
            self._active[label] = []
        self._orders = Reader(node, topics.INJECT, forms.WORDS)
        self._faults = node.publisher(topics.EMULATED_FAULTS)
        self.up = False

    def run(self, stop: threading.Event) -> None:
        """Emulates until `stop` is set."""
        started: list[Emulator] = []
        try:
            for emulator in self._emulators.values():
                emulator.start()
                started.append(emulator)
            self.up = True
            self._publish_faults()
            while not stop.wait(LOOK_S):
                for order in self._orders.every():
                    self._obey(order)
        finally:
            self.up = False
            for emulator in started:
                emulator.stop()

    def _obey(self, order: str) -> None:
        try:
            part, fault, on = self._parsed(order)
            self._emulators[part].inject(fault, on)
        except XlvlaError as error:
            self._orders.refuse(error)
            return
        active = [other for other in self._active[part] if other != fault]
        if on:
            active.append(fault)
        self._active[part] = active
        self._publish_faults()

    def _parsed(self, order: str) -> tuple[str, str, bool]:
        """Part, fault, and whether it is switched on, of `left hand unplug on`."""
        words = order.split()
        if len(words) != 4 or words[3] not in ("on", "off"):
            raise XlvlaError(f"'{order}' is not an order: say for example 'left hand unplug on'")
        side, device, fault, state = words
        part = f"{side} {device}"
        if part not in self._emulators:
            raise unknown("emulated part", part, self._emulators)
        return part, fault, state == "on"

    def _publish_faults(self) -> None:
        faults: dict[str, dict[str, object]] = {}
        lines: list[str] = []
        for part, emulator in self._emulators.items():
            active = self._active[part]
            faults[part] = {"known": emulator.known_faults, "active": active}
            if active:
                lines.append(f"{part}: {', '.join(active)}")
        self._faults.publish(String(data=json.dumps(faults)))
        self._health.ok("; ".join(lines) or f"{len(self._emulators)} devices, all well")
