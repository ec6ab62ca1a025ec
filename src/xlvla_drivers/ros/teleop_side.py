"""One side of the teleoperation node: where the robot is in, the operator's motion and chunks for
motion out.
"""

from __future__ import annotations

import numpy as np

from xlvla.ros import convert, forms, geometry, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.measured import Measured
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.types import Part, Side, Source
from xlvla_drivers.teleop.fingers import Fingers
from xlvla_drivers.teleop.follower import Follower

FRAMES = 3
RATE_HZ = 25.0
"""Of a chunk: it continues the operator's motion, and slows to rest within a quarter of a second
should no other chunk come.
"""

COMMANDED_S = 0.3
"""A command that is younger is where the robot is being held, whatever weight pulls at it."""

OPERATOR = "operator"
"""Frame of the operator's wrist: their own world."""


class TeleopSide:
    """The follower of one side, and the topics of that side.

    Args:
        node: the teleoperation node, configured.
        fingers: how the hand follows; None where there is none.
        source: the one on whose topic its chunks are published.
    """

    def __init__(self, node: RigNode, side: Side, fingers: Fingers | None, source: Source):
        rig = node.rig
        self.side: Side = side
        self.follower = Follower(rig, side, fingers)
        parts = rig.parts_of(side)
        self._names = [name for part in parts for name in rig.joint_names(side, part)]
        self._stamp_ns = 0
        self._chunks = node.publisher(topics.chunk(side, source))
        self._wrist = node.publisher(topics.operator_wrist(side))
        self._keypoints = node.publisher(topics.operator_keypoints(side))
        self._leader = node.publisher(topics.leader(side))
        self._joints = rig.arm(side).joints
        self._angles = convert.JointMessage(rig.joint_names(side, "arm"))
        self._measured = Measured(node, rig, side)
        self._pose: np.ndarray | None = None
        command = topics.command_dry if rig.motion.dry_run else topics.command
        self._commands: dict[Part, Reader[convert.Joints]] = {}
        for part in parts:
            form = forms.commanded(rig.joint_names(side, part), node.clock.now_ns)
            self._commands[part] = Reader(node, command(side, part), form)
        self._commanded: dict[Part, convert.Joints] = {}

    def look(self, now_ns: int, valid_since_ns: int) -> None:
        """Reads where the robot is, and checks that it follows."""
        for part, reader in self._commands.items():
            received = reader.newest()
            if received is not None:
                self._commanded[part] = received
        self._pose = self._measured.pose(now_ns, valid_since_ns)
        self.follower.compare(self.here(now_ns, valid_since_ns), now_ns / SECOND)

    def here(self, now_ns: int, valid_since_ns: int) -> np.ndarray | None:
        """Where the side [N] rad is held by commands, or where it is measured to be; None where
        neither is known.
        """
        since_ns = max(valid_since_ns, now_ns - round(COMMANDED_S * SECOND))
        held: list[np.ndarray] = []
        for part in self._commands:
            command = self._commanded.get(part)
            if command is None:
                return self._pose
            # One of the future is from before the clock was set back.
            if not since_ns <= command.stamp_ns <= now_ns + forms.FUTURE_NS:
                return self._pose
            held.append(command.position)
        return np.concatenate(held)

    def publish_operator(self, ns: int) -> None:
        """Publishes the operator's motion as tracked, with keypoints in the hand frame."""
        tracked = self.follower.raw
        if tracked is None:
            return
        if tracked.T_world_wrist is not None:
            self._wrist.publish(geometry.pose(tracked.T_world_wrist, ns, OPERATOR))
        if tracked.keypoints is not None:
            frame = f"{OPERATOR}_{self.side}_wrist"
            self._keypoints.publish(geometry.cloud(tracked.keypoints, ns, frame))
        if tracked.joints is not None:
            angles = np.array([tracked.joints[joint] for joint in self._joints])
            self._leader.publish(self._angles.fill(ns, angles))

    def publish_chunk(self, ns: int) -> None:
        """Publishes where the side should be from a stamp on; nothing for a stamp that had its
        chunk.
        """
        # A stamp that is much earlier than the last one is of a clock that was set back.
        had_chunk = 0 <= self._stamp_ns - ns < forms.FUTURE_NS
        if self.follower.goal is None or had_chunk:
            return
        self._stamp_ns = ns
        frames = self.follower.ahead(FRAMES, RATE_HZ)
        self._chunks.publish(convert.trajectory(self._names, frames, ns, RATE_HZ))
