"""Listens to everything that is recorded."""

from __future__ import annotations

from collections.abc import Iterator

from rclpy.node import Node

from xlvla.rig import Rig
from xlvla.ros.reader import Reader
from xlvla.ros.topics import LATCHED, Topic
from xlvla_data.recorder.recording import ReceivedMessage
from xlvla_data.recorder.stream_statistics import RecordedTopic
from xlvla_data.ros.streams import is_raw_picture, streams

KEPT_S = 2.0
"""So long may the listening thread be held up before messages are lost."""

LEAST_KEPT = 50

LARGEST_RAW = 500_000
"""Bytes of a picture from which on DDS no longer hands it over in shared memory, and loses many
[Fast DDS: 512 KiB in all].
"""


class Intake:
    """Readers of every stream of a rig; for one thread.

    Attributes:
        newest: the newest message of each topic that is said once and holds until it is said again.
    """

    def __init__(self, node: Node, rig: Rig):
        self._readers = [
            (Reader(node, deep(topic, stream)), stream, is_raw_picture(topic))
            for topic, stream in streams(rig)
        ]
        self.streams = [stream for _, stream, _ in self._readers]
        self.newest: dict[str, ReceivedMessage] = {}

    def take(self) -> list[ReceivedMessage]:
        """What came since the last time, in the order it came."""
        taken = []
        for reader, stream, raw_picture in self._readers:
            for raw in reader.every_raw():
                received = ReceivedMessage(
                    stream, raw.data, raw.came_ns, raw.sent_ns, raw.sequence, raw_picture
                )
                taken.append(received)
                if reader.topic.qos.durability == LATCHED.durability:
                    self.newest[stream.topic.name] = received
        return sorted(taken, key=lambda received: received.log_ns)


def too_large(rig: Rig) -> Iterator[str]:
    """A line for each camera whose raw pictures hardly arrive."""
    for name, camera in rig.cameras.items():
        size = 3 * camera.publish[0] * camera.publish[1]
        if not camera.jpeg and size > LARGEST_RAW:
            yield (
                f"camera {name}: many of its raw pictures, {size / 1e6:.1f} MB each, will be lost "
                "on their way: give it `jpeg: 95`"
            )


def deep(topic: Topic, stream: RecordedTopic) -> Topic:
    """The topic with room for all that comes while nobody listens."""
    return topic.history(max(LEAST_KEPT, round(KEPT_S * (stream.claim_hz or 0.0))))
