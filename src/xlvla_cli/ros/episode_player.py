"""Replays an episode on a running rig: a slow approach to its first pose, then its commands as
chunks, through motion.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from rclpy.publisher import Publisher

from xlvla.control_source import NOBODY
from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.ros import convert, statuses, topics
from xlvla.ros.clock import Clock, SimClock
from xlvla.ros.measured import Measured
from xlvla.ros.reader import Reader
from xlvla.types import CHUNK_FRAMES, CHUNK_HZ, Part, Side, Source
from xlvla_cli.ros.operator import Operator

SOURCE: Source = "replay"
RELEASE_S = 0.2
AHEAD = 4
"""A chunk is published every this many frames."""

REST_FRAMES = CHUNK_HZ
"""The robot rests at the first pose for this long before the episode begins."""

NEAR_RAD = 0.15
"""An arm that is further from the first pose after the approach did not follow."""

WAIT_S = 15.0
"""How long to wait for joint states, and for a clock that stands still."""

Approach = Callable[[Side, np.ndarray, np.ndarray], np.ndarray]
"""A slow path [T, N] rad of a side from a pose to another."""

Poses = Mapping[Side, np.ndarray]

Measurement = tuple[float, dict[Side, np.ndarray]]
"""The number of the frame that was due, and the poses [N] rad that were measured."""


@dataclass(frozen=True)
class TrackingError:
    """How near a part came to the frames of an episode: root mean square of all joints [rad], and
    the largest distance [rad] and its joint.
    """

    side: Side
    part: Part
    rms_rad: float
    largest_rad: float
    joint: str


class Replayer:
    """Drives a running, engaged rig; for one thread.

    Args:
        idle: called all the while.
    """

    def __init__(self, operator: Operator, rig: Rig, idle: Callable[[], None] = lambda: None):
        self._operator = operator
        self._rig = rig
        self._idle = idle
        self._clock = SimClock(operator.node, rig.sim.speed) if rig.sim else Clock()
        self._measured: dict[Side, Measured] = {
            side: Measured(operator.node, rig, side) for side in rig.sides
        }
        self._status = Reader(operator.node, topics.MOTION_STATUS, statuses.MOTION)
        self._motion = ""
        self._chunks = {
            side: _publisher(operator, topics.chunk(side, SOURCE)) for side in rig.sides
        }
        self._names: dict[Side, list[str]] = {}
        for side in rig.sides:
            self._names[side] = [*rig.joint_names(side, "arm"), *rig.joint_names(side, "hand")]

    def play(
        self, frames: Poses, approach: Approach, progress: Callable[[str], None] = lambda line: None
    ) -> list[TrackingError]:
        """Plays frames [F, N] rad of each side, in the rig's order of joints; how well they were
        followed.
        """
        first: Poses = {side: rows[0] for side, rows in frames.items()}
        begin = self._approach(first, approach)
        progress(f"{_count(begin) / CHUNK_HZ:.1f} s to where it begins")
        self._operator.let_drive(SOURCE)
        try:
            self._follow(begin)
            self._refuse_unless_near(first)
            progress(f"{_count(frames) / CHUNK_HZ:.1f} s of the episode")
            measured = self._follow(frames)
        finally:
            self._release_source()
        errors: list[TrackingError] = []
        for side in frames:
            errors += self._errors(side, frames[side], measured)
        return errors

    def _approach(self, first: Poses, approach: Approach) -> dict[Side, np.ndarray]:
        """Frames [F, N] rad from where the robot is to the first poses, where both sides rest."""
        here = self._here()
        paths: Poses = {side: approach(side, here[side], pose) for side, pose in first.items()}
        longest = max(len(path) for path in paths.values())
        frames: dict[Side, np.ndarray] = {}
        for side, path in paths.items():
            wait = np.repeat(path[-1:], longest - len(path), axis=0)
            rest = np.repeat(first[side][None], REST_FRAMES, axis=0)
            frames[side] = np.concatenate([path, wait, rest])
        return frames

    def _release_source(self) -> None:
        """Motion drops a chunk when another source is selected; afterwards any source may drive."""
        self._operator.let_drive(NOBODY)
        time.sleep(RELEASE_S)
        self._operator.let_drive("")

    def _here(self) -> dict[Side, np.ndarray]:
        give_up = time.monotonic() + WAIT_S
        while True:
            self._idle()
            poses = self._poses()
            if poses.keys() == self._measured.keys():
                return poses
            if time.monotonic() > give_up:
                lacking = ", ".join(self._measured.keys() - poses.keys())
                raise XlvlaError(
                    f"it is not known where the robot is: no fresh joint states of {lacking}"
                )
            time.sleep(0.02)

    def _poses(self) -> dict[Side, np.ndarray]:
        """The poses [N] rad of the sides whose joint states are fresh."""
        now_ns = self._clock.now_ns()
        poses = dict[Side, np.ndarray]()
        for side, measured in self._measured.items():
            if (pose := measured.pose(now_ns, 0)) is not None:
                poses[side] = pose
        return poses

    def _follow(self, frames: Poses) -> list[Measurement]:
        """Publishes the frames as chunks while time passes; what was measured meanwhile."""
        count = _count(frames)
        measurements = list[Measurement]()
        published = -AHEAD
        began_ns = 0
        moved_s = time.monotonic()
        while True:
            now_ns = self._clock.now_ns()
            # A simulated clock may still be at 0.
            began_ns = began_ns or now_ns
            frame = (now_ns - began_ns) / convert.SECOND * CHUNK_HZ
            if frame >= count:
                return measurements
            if frame >= published + AHEAD:
                published = int(frame)
                moved_s = time.monotonic()
                stamp_ns = began_ns + round(published / CHUNK_HZ * convert.SECOND)
                self._publish(frames, published, stamp_ns)
            elif time.monotonic() - moved_s > WAIT_S:
                raise XlvlaError(f"the clock has stood still for {WAIT_S:.0f} s")
            measurements.append((frame, self._poses()))
            self._look()
            time.sleep(0.01)

    def _look(self) -> None:
        self._idle()
        if (status := self._status.newest()) is not None:
            self._motion = status["state"]

    def _publish(self, frames: Poses, first: int, stamp_ns: int) -> None:
        """The frames after a first one, as chunks."""
        for side, rows in frames.items():
            ahead = rows[first + 1 : first + 1 + CHUNK_FRAMES]
            if not len(ahead):
                ahead = rows[-1:]
            self._chunks[side].publish(
                convert.trajectory(self._names[side], ahead, stamp_ns, CHUNK_HZ)
            )

    def _refuse_unless_near(self, first: Poses) -> None:
        here = self._here()
        for side, pose in first.items():
            arm = slice(0, len(self._rig.joint_names(side, "arm")))
            distance = np.abs(here[side] - pose)[arm]
            if distance.size and distance.max() > NEAR_RAD:
                joint = self._names[side][int(distance.argmax())]
                state = f"; motion says {self._motion}" if self._motion else ""
                raise XlvlaError(
                    f"the robot did not reach the first pose of the episode: {joint} is "
                    f"{distance.max():.2f} rad away{state}"
                )

    def _errors(
        self, side: Side, frames: np.ndarray, measurements: list[Measurement]
    ) -> Iterator[TrackingError]:
        """How well each part of a side followed frames [F, N] rad."""
        at: list[float] = []
        measured: list[np.ndarray] = []
        for frame, poses in measurements:
            if side in poses:
                at.append(frame)
                measured.append(poses[side])
        if not at:
            raise XlvlaError(f"no joint states of {side} came while it was replayed")
        numbers = np.arange(len(frames))
        columns = [np.interp(at, numbers, column) for column in frames.T]
        errors = np.abs(np.stack(measured) - np.stack(columns, axis=1))
        for part in self._rig.parts_of(side):
            names = self._rig.joint_names(side, part)
            own = errors[:, [self._names[side].index(name) for name in names]]
            largest = own.max(axis=0)
            yield TrackingError(
                side=side,
                part=part,
                rms_rad=float(np.sqrt(np.square(own).mean())),
                largest_rad=float(largest.max()),
                joint=names[int(largest.argmax())],
            )


def _count(frames: Poses) -> int:
    """Frames, of which all sides have the same number."""
    return len(next(iter(frames.values())))


def _publisher(operator: Operator, topic: topics.Topic) -> Publisher:
    return operator.node.create_publisher(topic.type, topic.relative, topic.qos)
