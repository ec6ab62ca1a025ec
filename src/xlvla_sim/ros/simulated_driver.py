"""What a driver does, for a part of a simulated robot: the same guard, the same stop, the same word
of how the device is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import JointState

from xlvla.errors import XlvlaError
from xlvla.guard import Refused, part_guard
from xlvla.ros import command_session, convert, forms, stop, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.neighbours import second_writer
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.types import Part, Side
from xlvla_sim.world import World

COMMANDS_KEPT = 16
"""Commands that may come between two steps of the simulation: how fast they move follows from all
of them.
"""

REFUSAL_SHOWN_NS = SECOND
"""How long a second writer is spoken of."""


class SimulatedDriver:
    """Commands of one part in, targets of its servos out.

    Args:
        now_ns: the simulation's time.
    """

    def __init__(self, node: RigNode, side: Side, part: Part, now_ns: Callable[[], int]):
        self._node = node
        self.side: Side = side
        self.part: Part = part
        self._now_ns = now_ns
        rig = node.rig
        assert rig.sim is not None
        limits = rig.arm(side).limits if part == "arm" else rig.hand(side).limits(side)
        rate_hz = rig.sim.joint_state_hz
        self._guard = part_guard(rig, side, part, limits, rate_hz=rate_hz, clock=self._now_s)
        self._topic = topics.command(side, part)
        form = forms.command(rig.joint_names(side, part))
        self._commands = Reader(node, self._topic.history(COMMANDS_KEPT), form)
        self._status = node.publisher(topics.device(side, part))
        self._reset_id = 0
        self._valid_since_ns = 0
        self._strangers = ""
        self._refused_ns = -REFUSAL_SHOWN_NS
        self._last_status = ""

    def begin(self, reset_id: int, world: World) -> None:
        """A reset: commands made before it are discarded."""
        self._reset_id = reset_id
        self._valid_since_ns = self._now_ns()
        self._guard.anchor(self._position(world))
        self._refused_ns = self._now_ns() - REFUSAL_SHOWN_NS

    def on_stop(self, request: stop.Stop) -> None:
        if request.stopped:
            self._guard.stop(request.by or "somebody", request.stamp_ns)
        else:
            self._guard.release()

    def drive(self, world: World) -> None:
        """Takes what was commanded and moves the targets of the servos by one step."""
        self._guard.observe(self._position(world))
        for message in self._commands.every():
            try:
                self._take(message)
            except XlvlaError as error:
                self._commands.refuse(error)
        target = self._guard.target().tolist()
        targets = dict(zip(self._guard.joints, target, strict=True))
        world.command(self.side, self.part, targets)
        self._publish_status()

    def _position(self, world: World) -> np.ndarray:
        """Where the part is [J] rad."""
        position, _, _ = world.joint_state(self.side, self.part)
        return position

    def _now_s(self) -> float:
        return self._now_ns() / SECOND

    def _take(self, message: JointState) -> None:
        stamp_ns = convert.nanoseconds(message.header.stamp)
        origin = command_session.take_origin(message)
        if stamp_ns < self._valid_since_ns or origin.reset_id not in (0, self._reset_id):
            self._node.health.counts["discarded commands"] += 1
            return
        try:
            command = convert.by_name(message)
            self._guard.offer(command, stamp_ns / SECOND, self._now_s(), origin.session)
        except Refused as refusal:
            if refusal.reason != "session":
                raise
            raise XlvlaError(self._stranger()) from None
        self._node.health.counts["commands"] += 1

    def _stranger(self) -> str:
        """Who commands beside the session that is followed."""
        if self._now_ns() >= self._refused_ns + REFUSAL_SHOWN_NS:
            self._strangers = second_writer(self._node, self._topic)
        self._refused_ns = self._now_ns()
        return f"command refused: {self._strangers}"

    def _publish_status(self) -> None:
        """Publishes how the part is, at every change."""
        by = self._guard.stopped
        level = DiagnosticStatus.OK
        line = "simulated"
        if by is not None:
            level = DiagnosticStatus.WARN
            line = f"stopped by {by}: holding until {topics.MOTION_RESET.name}"
        elif self._now_ns() < self._refused_ns + REFUSAL_SHOWN_NS:
            level = DiagnosticStatus.WARN
            line = self._strangers
        if line == self._last_status:
            return
        self._last_status = line
        status = DiagnosticStatus(
            level=level, name=f"{self.side} {self.part}", message=line, hardware_id="simulation"
        )
        stop.mark(status, by, self._guard.stop_stamp_ns)
        self._status.publish(status)
