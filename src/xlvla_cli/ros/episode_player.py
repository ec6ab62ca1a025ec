"""Replays an episode on a running rig: a slow approach to its first pose, then its commands as
chunks, through motion.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from rclpy.publisher import Publisher
from std_msgs.msg import String

from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.ros import convert, statuses, topics
from xlvla.ros.clock import Clock, SimClock
from xlvla.ros.measured import Measured
from xlvla.ros.reader import Reader
from xlvla.types import CHUNK_FRAMES, CHUNK_HZ, PARTS, Part, Side, Source
from xlvla_cli.ros.operator import Operator

SOURCE: Source = "replay"
NO_SOURCE = "nobody"
RELEASE_S = 0.2
AHEAD = 4
"""A chunk is published every this many frames."""

REST_FRAMES = CHUNK_HZ
"""The robot rests at the first pose for so long before the episode begins."""

NEAR_RAD = 0.15
"""An arm that is further from the first pose after the way there did not follow."""

WAIT_S = 15.0

Way = Callable[[Side, np.ndarray, np.ndarray], np.ndarray]
"""A slow way [T, N] of a side from a pose to another."""

Poses = Mapping[Side, np.ndarray]


@dataclass(frozen=True)
class TrackingError:
    """How near a part came to the frames of an episode: root mean square of all joints, and the
    largest distance and whose [rad].
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
        self._source = _publisher(operator, topics.SOURCE)
        self._names = {
            side: [name for part in PARTS for name in rig.joint_names(side, part)]
            for side in rig.sides
        }

    def play(
        self, frames: Poses, way: Way, progress: Callable[[str], None] = lambda line: None
    ) -> list[TrackingError]:
        """Does frames [F, N] rad of each side, in the rig's order of joints; how well they were
        followed.
        """
        here = self._here()
        ways = {side: way(side, here[side], frames[side][0]) for side in frames}
        longest = max(map(len, ways.values()))
        there = {
            side: np.concatenate([path, np.repeat(path[-1:], longest - len(path), axis=0)])
            for side, path in ways.items()
        }
        start = longest + REST_FRAMES
        progress(f"{start / CHUNK_HZ:.1f} s to where it begins")
        self._source.publish(String(data=SOURCE))
        try:
            rest = {side: np.repeat(frames[side][:1], REST_FRAMES, axis=0) for side in frames}
            self._follow({side: np.concatenate([there[side], rest[side]]) for side in frames})
            self._refuse_unless_near({side: frames[side][0] for side in frames})
            progress(f"{len(next(iter(frames.values()))) / CHUNK_HZ:.1f} s of the episode")
            seen = self._follow(frames)
        finally:
            self._release_source()
        return [tracked for side in frames for tracked in self._tracked(side, frames[side], seen)]

    def _release_source(self) -> None:
        """Motion drops a chunk when another source is selected; afterwards any source may drive."""
        self._source.publish(String(data=NO_SOURCE))
        time.sleep(RELEASE_S)
        self._source.publish(String(data=""))

    def _here(self) -> dict[Side, np.ndarray]:
        give_up = time.monotonic() + WAIT_S
        while True:
            self._idle()
            known = self._poses()
            if known.keys() == self._measured.keys():
                return known
            if time.monotonic() > give_up:
                lacking = ", ".join(self._measured.keys() - known.keys())
                raise XlvlaError(
                    f"it is not known where the robot is: no fresh joint states of {lacking}"
                )
            time.sleep(0.02)

    def _poses(self) -> dict[Side, np.ndarray]:
        """The poses [N] rad of the sides that said freshly where they are."""
        now_ns = self._clock.now_ns()
        known = dict[Side, np.ndarray]()
        for side, measured in self._measured.items():
            if (pose := measured.pose(now_ns, 0)) is not None:
                known[side] = pose
        return known

    def _follow(self, frames: Poses) -> list[tuple[float, dict[Side, np.ndarray]]]:
        """Says the frames as chunks while time passes; what was measured, with the number of the
        frame that was due.
        """
        count = len(next(iter(frames.values())))
        seen = list[tuple[float, dict[Side, np.ndarray]]]()
        said = -AHEAD
        began = 0
        moved = time.monotonic()
        while True:
            now_ns = self._clock.now_ns()
            began = began or now_ns
            frame = (now_ns - began) / convert.SECOND * CHUNK_HZ
            if frame >= count:
                return seen
            if frame >= said + AHEAD:
                said = int(frame)
                moved = time.monotonic()
                self._say(frames, said, began + round(said / CHUNK_HZ * convert.SECOND))
            elif time.monotonic() - moved > WAIT_S:
                raise XlvlaError(f"the clock has stood still for {WAIT_S:.0f} s")
            seen.append((frame, self._poses()))
            self._look()
            time.sleep(0.01)

    def _look(self) -> None:
        self._idle()
        if (status := self._status.newest()) is not None:
            self._motion = status["state"]

    def _say(self, frames: Poses, first: int, stamp_ns: int) -> None:
        for side, rows in frames.items():
            ahead = (
                rows[first + 1 : first + 1 + CHUNK_FRAMES] if first + 1 < len(rows) else rows[-1:]
            )
            self._chunks[side].publish(
                convert.trajectory(self._names[side], ahead, stamp_ns, CHUNK_HZ)
            )

    def _refuse_unless_near(self, first: Poses) -> None:
        here = self._here()
        for side, pose in first.items():
            arm = slice(0, len(self._rig.joint_names(side, "arm")))
            distance = np.abs(here[side] - pose)[arm]
            if distance.max() > NEAR_RAD:
                joint = self._names[side][int(distance.argmax())]
                said = f"; motion says {self._motion}" if self._motion else ""
                raise XlvlaError(
                    f"the robot did not reach the first pose of the episode: {joint} is "
                    f"{distance.max():.2f} rad away{said}"
                )

    def _tracked(
        self, side: Side, frames: np.ndarray, seen: list[tuple[float, dict[Side, np.ndarray]]]
    ) -> Iterator[TrackingError]:
        known = [(frame, poses[side]) for frame, poses in seen if side in poses]
        if not known:
            raise XlvlaError(f"no joint states of {side} came while it was replayed")
        at = np.array([frame for frame, _ in known])
        wanted = np.stack(
            [np.interp(at, np.arange(len(frames)), column) for column in frames.T], axis=1
        )
        errors = np.abs(np.stack([pose for _, pose in known]) - wanted)
        for part in PARTS:
            names = self._rig.joint_names(side, part)
            own = errors[:, [self._names[side].index(name) for name in names]]
            distance = own.max(axis=0)
            yield TrackingError(
                side,
                part,
                float(np.sqrt(np.square(own).mean())),
                float(distance.max()),
                names[int(distance.argmax())],
            )


def _publisher(operator: Operator, topic: topics.Topic) -> Publisher:
    return operator.node.create_publisher(topic.type, topic.name, topic.qos)
