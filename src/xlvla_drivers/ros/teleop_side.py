"""One side of the teleoperation node: what the operator did out, chunks for motion out, where the
robot is in.
"""

from __future__ import annotations

import numpy as np

from xlvla.ros import convert, forms, geometry, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.measured import Measured
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.types import PARTS, Side, Source
from xlvla_drivers.teleop.fingers import Fingers
from xlvla_drivers.teleop.follower import Follower

FRAMES = 3
RATE_HZ = 25.0
"""Of a chunk: it goes on as the operator does, and slows to rest within a quarter of a second
should no other follow.
"""

COMMANDED_S = 0.3
"""A command that is younger is where the robot is being held, whatever weight pulls at it."""

OPERATOR = "operator"
"""Frame of what is told of the operator: their own world."""


class TeleopSide:
    """The follower of one side and what it is told of its robot."""

    def __init__(self, node: RigNode, side: Side, fingers: Fingers, source: Source):
        rig = node.rig
        self.side: Side = side
        self.follower = Follower(rig, side, fingers)
        self._names = [name for part in PARTS for name in rig.joint_names(side, part)]
        self._stamp_ns = 0
        self._chunks = node.publisher(topics.chunk(side, source))
        self._wrist = node.publisher(topics.operator_wrist(side))
        self._keypoints = node.publisher(topics.operator_keypoints(side))
        self._leader = node.publisher(topics.leader(side))
        self._joints = rig.arm(side).joints
        self._angles = convert.JointMessage(rig.joint_names(side, "arm"))
        self._measured = Measured(node, rig, side)
        self._pose = None
        command = topics.command_dry if rig.motion.dry_run else topics.command
        self._commands = {
            part: Reader(
                node,
                command(side, part),
                forms.commanded(rig.joint_names(side, part), node.clock.now_ns),
            )
            for part in PARTS
        }
        self._commanded: dict[str, convert.Joints] = {}

    def look(self, now_ns: int, valid_since_ns: int) -> None:
        """Where the robot is, and whether it follows."""
        for part, reader in self._commands.items():
            if (received := reader.newest()) is not None:
                self._commanded[part] = received
        self._pose = self._measured.pose(now_ns, valid_since_ns)
        self.follower.compare(self.here(now_ns, valid_since_ns), now_ns / SECOND)

    def here(self, now_ns: int, valid_since_ns: int) -> np.ndarray | None:
        """Where the side [N] is held by commands, or where it is measured to be; None where neither
        is known.
        """
        since_ns = max(valid_since_ns, now_ns - round(COMMANDED_S * SECOND))
        held = [self._commanded.get(part) for part in PARTS]
        if all(command is not None and command.stamp_ns >= since_ns for command in held):
            return np.concatenate([command.position for command in held if command is not None])
        return self._pose

    def tell(self, ns: int) -> None:
        """What the operator did, as their tracker has it, keypoints in the hand frame."""
        tracked = self.follower.raw
        if tracked is None:
            return
        if tracked.T_world_wrist is not None:
            self._wrist.publish(geometry.pose(tracked.T_world_wrist, ns, OPERATOR))
        if tracked.keypoints is not None:
            self._keypoints.publish(
                geometry.cloud(tracked.keypoints, ns, f"{OPERATOR}_{self.side}_wrist")
            )
        if tracked.joints is not None:
            self._leader.publish(
                self._angles.fill(ns, np.array([tracked.joints[joint] for joint in self._joints]))
            )

    def drive(self, ns: int) -> None:
        """Publishes where the side should be, as known at a stamp."""
        if self.follower.goal is None or ns <= self._stamp_ns:
            return
        self._stamp_ns = ns
        self._chunks.publish(
            convert.trajectory(self._names, self.follower.ahead(FRAMES, RATE_HZ), ns, RATE_HZ)
        )
