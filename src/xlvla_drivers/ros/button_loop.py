"""The loop of a node of buttons: keys in, orders to the recorder, teleoperation and every driver
out.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from std_msgs.msg import String

from xlvla.buttons import RECORDER
from xlvla.errors import unknown
from xlvla.ros import statuses, topics
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.ros.stop import StopPublisher, StopReader
from xlvla_drivers import registry
from xlvla_drivers.buttons.key_device import Press
from xlvla_drivers.device import LinkLost

LOOK_S = 0.05
"""How often stops of others are noticed while no key is pressed."""

HEARD_S = 2.0
"""Before this time after a stop, what ends one may have been said before it."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 3.0
"""Between attempts to find what is not there, doubled every time."""


class ButtonLoop:
    """Does what the keys of one entry of a rig's `buttons` stand for.

    `run` has its own thread, which waits for keys.
    """

    def __init__(self, node: RigNode, name: str):
        if name not in node.rig.buttons:
            raise unknown("entry of buttons", name, node.rig.buttons)
        self._node = node
        self._name = name
        self._config = node.rig.buttons[name]
        self._device = registry.buttons(node.rig, name)
        self._buttons = node.publisher(topics.BUTTON)
        self._stop = StopPublisher(node, node.get_name())
        self._stops = StopReader(node)
        # When a stop was said here that still stands [s, monotonic clock]; None without one.
        self._stopped_s: float | None = None
        self._stop_held = False
        self._clutch: Any = None
        if node.rig.teleop:
            service = topics.TELEOP_CLUTCH
            self._clutch = node.create_client(service.type, service.relative)
            self._teleop = Reader(node, topics.TELEOP_STATUS, statuses.TELEOP)
        self._clutched = False
        # Why there are no keys; None while nothing was said of it.
        self._link: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Waits for keys until `stop` is set; what is not there is looked for."""
        pause_s = FIRST_PAUSE_S
        while not stop.is_set():
            try:
                self._do(self._device.open())
                self._say("")
                pause_s = FIRST_PAUSE_S
                while not stop.is_set():
                    self._do(self._device.read(LOOK_S))
                    self._follow()
            except LinkLost as error:
                self._say(str(error))
            finally:
                self._do(self._device.release())
                self._device.close()
            give_up_s = time.monotonic() + pause_s
            while not stop.wait(LOOK_S) and time.monotonic() < give_up_s:
                self._follow()
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _do(self, presses: list[Press]) -> None:
        for press in presses:
            if press.action == "estop":
                self._stop_held = press.down
                if press.down:
                    self._say_stop()
                    self._node.warn(f"{self._name}: e-stop")
            elif press.action == "hold":
                self._ask_clutch(press.down)
            elif press.down and press.action == "clutch":
                self._ask_clutch(not self._clutched)
            elif press.down and press.action in RECORDER:
                self._buttons.publish(String(data=press.action))
            self._node.health.tick("keys")

    def _say_stop(self) -> None:
        self._stop.say(True)
        self._stopped_s = time.monotonic()

    def _follow(self) -> None:
        """Notices what others do: who ends a stop, and where the clutch is.

        A stop whose key is still held is not ended by anybody. One that was ended is taken back: it
        would stop a driver again that is started later.
        """
        for order in self._stops.every():
            if order.stopped or self._stopped_s is None:
                continue
            if self._stop_held:
                self._node.warn(f"{self._name}: the e-stop is still pressed")
                self._say_stop()
            elif time.monotonic() - self._stopped_s > HEARD_S:
                self._stop.close()
                self._stop = StopPublisher(self._node, self._node.get_name())
                self._stopped_s = None
        if self._clutch is not None:
            status = self._teleop.newest()
            if status is not None:
                self._clutched = any(side["clutched"] for side in status["sides"].values())

    def _ask_clutch(self, close: bool) -> None:
        """Asks teleoperation and waits for nothing: the next key may be the e-stop."""
        if not self._clutch.service_is_ready():
            self._node.warn(f"{self._name}: no teleoperation runs yet")
            return
        self._clutch.call_async(topics.TELEOP_CLUTCH.type.Request(data=close)).add_done_callback(
            self._clutch_answered
        )

    def _clutch_answered(self, answer: Any) -> None:
        result = answer.result()
        if result is not None and not result.success:
            self._node.warn(f"{self._name}: {result.message}")

    def _say(self, why: str) -> None:
        """One line when the device goes, and one when it is there again."""
        was_gone = bool(self._link)
        self._link = why
        if not why:
            self._node.health.ok(self._device.line)
            if was_gone:
                self._node.info(f"{self._name}: {self._device.line} is there again")
            return
        self._node.health.error(why)
        if was_gone:
            return
        if self._config.stop_when_lost:
            self._say_stop()
        self._node.warn(f"{self._name}: {why}")
