"""The node of any device: joint states out, commands in, faults told."""

from __future__ import annotations

import threading
import time
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import JointState

from xlvla.errors import XlvlaError, unknown
from xlvla.guard import part_guard
from xlvla.ros import command_session, convert, forms, priority, stop, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.neighbours import second_writer
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.types import Part, Side
from xlvla_drivers import registry
from xlvla_drivers.calibration import Calibration, command_limits
from xlvla_drivers.device import DeviceState
from xlvla_drivers.link import Link
from xlvla_drivers.ros.tactile import TactileMessage

TACTILE_HZ = 50.0
COMMANDS_KEPT = 16
"""Commands of motion that may come between two turns of a slow device: how fast they move is told
by every one.
"""
LOOK_S = 1.0
"""How often the writers of commands are looked up."""
RECOVER_TIMEOUT_S = 10.0
PATIENCE_S = 3.0
"""A device that is started with its rig may take so long before somebody at the terminal is
bothered.
"""

LEVELS = {
    "ok": DiagnosticStatus.OK,
    "warning": DiagnosticStatus.WARN,
    "fault": DiagnosticStatus.ERROR,
}


class DeviceNode(RigNode):
    """One device of one side, which is the node's parameter `part`.

    One thread talks to the device and may block on it; ROS is served by another.
    """

    def __init__(self, part: Part):
        super().__init__(part)
        self.health.name = self.get_name()
        self.part: Part = part
        self.link: Link | None = None
        self._patient_until_s = 0.0

    @property
    def up(self) -> bool:
        return self.link is not None and self.link.counts["connections"] > 0

    def configure(self) -> None:
        self.health.fact("scheduling", priority.hasten())
        self.side: Side = self._chosen_side()
        self.link = self._linked()
        names = self.rig.joint_names(self.side, self.part)
        self._joint_states = self.publisher(topics.joint_states(self.side, self.part))
        self._status = self.publisher(topics.device(self.side, self.part))
        self._tactile = self.publisher(topics.tactile(self.side)) if self.part == "hand" else None
        self._sample = convert.JointMessage(names)
        self._touch = TactileMessage()
        self._touched_ns = 0
        self._newest_ns = 0
        self._command = topics.command(self.side, self.part)
        self._commands = Reader(self, self._command.history(COMMANDS_KEPT), forms.command(names))
        self._stops = Reader(self, topics.STOP.history(stop.KEPT), stop.FORM)
        self._strangers = ""
        self._looked_s = 0.0
        self.serve(topics.recover(self.side, self.part), self._recover)

    def _chosen_side(self) -> Side:
        for side in self.rig.sides:
            if side == self.parameter("part"):
                return side
        raise unknown("side", self.parameter("part"), self.rig.sides)

    def _linked(self) -> Link:
        self._device, _ = registry.configured(self.rig, self.side, self.part)
        self._whose = f"{self._device.driver} at {registry.address(self._device, self.side)}"
        driver = registry.open_device(self.rig, self.side, self.part)
        calibration = Calibration(driver.joints, self._device.calibration)
        limits = command_limits(self.rig, self.side, self.part, calibration)
        guard = part_guard(self.rig, self.side, self.part, limits, rate_hz=self._device.rate_hz)
        return Link(
            driver, guard, calibration, on_change=self._tell, second_writer=self._second_writer
        )

    def work(self, stop: threading.Event) -> None:
        assert self.link is not None
        self._patient_until_s = time.monotonic() + PATIENCE_S
        steady = False
        try:
            for _, missed in self.clock.ticks(self._device.rate_hz, stop):
                self.health.counts["deadlines missed"] += missed * steady
                self._read_stops(self.link)
                for command in self._commands.every():
                    self._obey(self.link, command)
                was_up = self.link.condition == "up"
                state = self.link.step()
                steady = was_up and state is not None  # connecting takes as long as it takes
                if state is not None:
                    self._publish(self.link, state)
        finally:
            for state in self.link.rest(1 / self._device.rate_hz):
                if state is not None:
                    self._publish(self.link, state)
            self.link.close()

    def _read_stops(self, link: Link) -> None:
        for order in self._stops.every():
            if order.stopped:
                link.guard.stop(order.by or "somebody")
            else:
                link.guard.release()

    def _obey(self, link: Link, message: JointState) -> None:
        now_s = (
            self.clock.now_ns() / SECOND
        )  # after the command is taken: nothing that was made before may seem to be of the future
        stamp_s = convert.nanoseconds(message.header.stamp) / SECOND
        try:
            origin = command_session.take_origin(message)
            link.offer(convert.by_name(message), stamp_s, now_s, origin.session)
            self.health.tick("commands")
        except XlvlaError as error:
            self._commands.refuse(error)

    def _second_writer(self) -> str:
        """Looked up once a second."""
        if time.monotonic() > self._looked_s + LOOK_S:
            self._strangers = second_writer(self, self._command)
            self._looked_s = time.monotonic()
        return self._strangers

    def _publish(self, link: Link, state: DeviceState) -> None:
        for what, seconds in link.took_s.items():
            self.health.took(what, seconds)
        self.health.tick("device")
        if state.stamp_ns <= self._newest_ns:  # it reports less often than it is asked
            return
        self._newest_ns = state.stamp_ns
        self.health.tick("states")
        self._joint_states.publish(
            self._sample.fill(state.stamp_ns, state.position, state.velocity, state.effort)
        )
        if (
            self._tactile
            and state.tactile
            and state.stamp_ns >= self._touched_ns + SECOND / TACTILE_HZ
        ):
            self._touched_ns = state.stamp_ns
            self._tactile.publish(self._touch.fill(state.stamp_ns, state.tactile))

    def _tell(self) -> None:
        """Says at once how the device is; in the device's thread."""
        assert self.link is not None
        device_status = self.link.status
        status = DiagnosticStatus(
            level=LEVELS[device_status.level],
            name=f"{self.side} {self.part}",
            message=device_status.line,
        )
        status.hardware_id = self._whose
        stop.mark(status, device_status.stopped)
        self._status.publish(status)
        if device_status.level != "ok" and (self.up or time.monotonic() > self._patient_until_s):
            self.warn(device_status.line)

    def _recover(self, request: Any) -> str:
        assert self.link is not None
        try:
            return self.link.recover().result(RECOVER_TIMEOUT_S)
        except FutureTimeout:
            raise XlvlaError(
                f"the device did not recover within {RECOVER_TIMEOUT_S:.0f} s"
            ) from None

    def _report(self) -> None:
        if self.link is not None:
            self._collect(self.link)
        super()._report()

    def _collect(self, link: Link) -> None:
        """What /diagnostics says beside rates and durations."""
        device_status = link.status
        state = link.state
        {"ok": self.health.ok, "warning": self.health.warn, "fault": self.health.error}[
            device_status.level
        ](device_status.line)
        self.health.fact("device", self._whose)
        self.health.fact("link", link.condition)
        self.health.fact("stopped by", link.guard.stopped or "nobody")
        self.health.fact("session", link.guard.session or "none")
        for group, counts in (
            ("link", link.counts),
            ("wire", link.device.counts),
            ("commands", link.guard.counts),
        ):
            self.health.counts.update({f"{group} {what}": 0 for what in counts})
            for what, count in dict(counts).items():
                self.health.counts[f"{group} {what}"] = count
        if state is not None:
            self.health.fact("faults", ", ".join(fault.line for fault in state.faults) or "none")
            for where, celsius in state.temperature.items():
                self.health.fact(f"temperature {where} [C]", round(celsius, 1))
