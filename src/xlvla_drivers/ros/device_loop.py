"""The loop of a device's node: commands in, joint states and device status out."""

from __future__ import annotations

import threading
import time

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState

from xlvla.errors import XlvlaError
from xlvla.guard import part_guard
from xlvla.ros import command_session, convert, forms, stop, topics
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
"""Commands that may come between two cycles of a slow device: all are needed to tell how fast they
move.
"""

LOOK_S = 1.0
"""How often the writers of commands are looked up."""

PATIENCE_S = 3.0
"""A device that is started with its rig may take this long before its status is logged."""

LEVELS = {
    "ok": DiagnosticStatus.OK,
    "warning": DiagnosticStatus.WARN,
    "fault": DiagnosticStatus.ERROR,
}


class DeviceLoop:
    """Moves one device of one side by the commands on its topic.

    `run` has its own thread, which talks to the device and may block on it.

    Attributes:
        link: to the device.
    """

    def __init__(self, node: RigNode, side: Side, part: Part):
        rig = node.rig
        self._node = node
        self._clock = node.clock
        self._health = node.health
        self._label = f"{side} {part}"
        configured = registry.configured(rig, side, part)
        device = configured.device
        self._rate_hz = device.rate_hz
        self._hardware = f"{device.driver} at {configured.address}"
        driver = registry.open_device(configured)
        calibration = Calibration(driver.joints, device.calibration)
        limits = command_limits(rig, side, part, calibration)
        self.link = Link(
            driver,
            part_guard(rig, side, part, limits, rate_hz=device.rate_hz),
            calibration,
            on_change=self._publish_status,
            second_writer=self._second_writer,
        )
        names = rig.joint_names(side, part)
        self._joint_states = node.publisher(topics.joint_states(side, part))
        self._status = node.publisher(topics.device(side, part))
        self._tactile: Publisher | None = None
        if part == "hand":
            self._tactile = node.publisher(topics.tactile(side))
        self._joint_message = convert.JointMessage(names)
        self._tactile_message = TactileMessage()
        # Stamps [ns] of the last tactile message and of the last joint states.
        self._tactile_ns = 0
        self._newest_ns = 0
        self._command = topics.command(side, part)
        self._commands = Reader(node, self._command.history(COMMANDS_KEPT), forms.command(names))
        self._stops = stop.StopReader(node)
        self._strangers = ""
        self._looked_s = 0.0
        self._patient_until_s = 0.0

    @property
    def up(self) -> bool:
        """The device was connected at least once."""
        return self.link.counts["connections"] > 0

    def run(self, stop: threading.Event) -> None:
        """Cycles until `stop` is set, lets the device come to rest and disconnects."""
        self._patient_until_s = time.monotonic() + PATIENCE_S
        steady = False
        try:
            for _, missed in self._clock.ticks(self._rate_hz, stop):
                if steady:
                    self._health.counts["deadlines missed"] += missed
                self._read_stops()
                for command in self._commands.every():
                    self._obey(command)
                was_up = self.link.condition == "up"
                state = self.link.step()
                # To connect takes longer than a cycle: no deadlines are missed by that.
                steady = was_up and state is not None
                if state is not None:
                    self._publish(state)
        finally:
            for state in self.link.rest(1 / self._rate_hz):
                if state is not None:
                    self._publish(state)
            self.link.close()

    def report(self) -> None:
        """Updates the node's status, facts and counts on /diagnostics; called once a second by
        another thread.
        """
        link = self.link
        self._report_level()
        self._health.fact("device", self._hardware)
        self._health.fact("link", link.condition)
        self._health.fact("stopped by", link.guard.stopped or "nobody")
        self._health.fact("session", link.guard.session or "none")
        groups = {"link": link.counts, "wire": link.device.counts, "commands": link.guard.counts}
        for group, counts in groups.items():
            # A copy, because the device's thread goes on counting.
            for what, count in dict(counts).items():
                self._health.counts[f"{group} {what}"] = count
        state = link.state
        if state is not None:
            faults = ", ".join(fault.line for fault in state.faults)
            self._health.fact("faults", faults or "none")
            for where, celsius in state.temperature.items():
                self._health.fact(f"temperature {where} [C]", round(celsius, 1))
            for name, value in state.facts.items():
                self._health.fact(name, value)

    def _report_level(self) -> None:
        status = self.link.status
        if status.level == "ok":
            self._health.ok(status.line)
        elif status.level == "warning":
            self._health.warn(status.line)
        else:
            self._health.error(status.line)

    def _read_stops(self) -> None:
        for order in self._stops.every():
            if order.stopped:
                self.link.guard.stop(order.by or "somebody", order.stamp_ns)
            else:
                self.link.guard.release()

    def _obey(self, message: JointState) -> None:
        # The time is read after the command: no command may seem to be of the future.
        now_s = self._clock.now_ns() / SECOND
        stamp_s = convert.nanoseconds(message.header.stamp) / SECOND
        try:
            # What is left of the message are joints.
            origin = command_session.take_origin(message)
            self.link.offer(convert.by_name(message), stamp_s, now_s, origin.session)
            self._health.tick("commands")
        except XlvlaError as error:
            self._commands.refuse(error)

    def _second_writer(self) -> str:
        """Names another node that commands the device, looked up once a second."""
        if time.monotonic() > self._looked_s + LOOK_S:
            self._strangers = second_writer(self._node, self._command)
            self._looked_s = time.monotonic()
        return self._strangers

    def _publish(self, state: DeviceState) -> None:
        for what, seconds in self.link.took_s.items():
            self._health.took(what, seconds)
        self._health.tick("device")
        # Some devices measure less often than they are read. A stamp is earlier than the last one
        # where the clock was set back.
        if state.stamp_ns == self._newest_ns:
            return
        self._newest_ns = state.stamp_ns
        self._health.tick("states")
        self._joint_states.publish(
            self._joint_message.fill(state.stamp_ns, state.position, state.velocity, state.effort)
        )
        if self._tactile is None or not state.tactile:
            return
        if not 0 <= state.stamp_ns - self._tactile_ns < SECOND / TACTILE_HZ:
            self._tactile_ns = state.stamp_ns
            self._tactile.publish(self._tactile_message.fill(state.stamp_ns, state.tactile))

    def _publish_status(self) -> None:
        """Publishes the device status as soon as it changes; in the device's thread."""
        device_status = self.link.status
        status = DiagnosticStatus(
            level=LEVELS[device_status.level], name=self._label, message=device_status.line
        )
        status.hardware_id = self._hardware
        stop.mark(status, device_status.stopped, device_status.stop_stamp_ns)
        self._status.publish(status)
        patient = not self.up and time.monotonic() <= self._patient_until_s
        if device_status.level != "ok" and not patient:
            self._node.warn(device_status.line)
