"""Subscribes to everything that is recorded."""

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
"""How long the thread that takes messages may be held up before some are lost."""

LEAST_KEPT = 50
"""Messages kept of a stream without a rate."""

LARGEST_RAW = 500_000
"""Bytes of a picture up to which DDS hands it over in shared memory [Fast DDS: 512 KiB in all];
many of the larger ones are lost.
"""


class Intake:
    """Readers of every stream of a rig; for one thread.

    Attributes:
        streams: that are recorded.
        newest: the newest message of each latched topic.
    """

    def __init__(self, node: Node, rig: Rig):
        self.streams: list[RecordedTopic] = []
        self._readers: list[tuple[Reader, RecordedTopic, bool]] = []
        for topic, stream in streams(rig):
            reader = Reader(node, deep(topic, stream))
            self.streams.append(stream)
            self._readers.append((reader, stream, is_raw_picture(topic)))
        self.newest: dict[str, ReceivedMessage] = {}

    def take(self) -> list[ReceivedMessage]:
        """The messages that came since the last time, in the order they came."""
        taken: list[ReceivedMessage] = []
        for reader, stream, raw_picture in self._readers:
            for raw in reader.every_raw():
                received = ReceivedMessage(
                    stream=stream,
                    data=raw.data,
                    log_ns=raw.came_ns,
                    sent_ns=raw.sent_ns,
                    sequence=raw.sequence,
                    raw_picture=raw_picture,
                )
                taken.append(received)
                if reader.topic.qos.durability == LATCHED.durability:
                    self.newest[stream.topic.name] = received
        return sorted(taken, key=lambda received: received.log_ns)


def too_large(rig: Rig) -> Iterator[str]:
    """A line for each camera whose raw pictures are too large for DDS."""
    for name, camera in rig.cameras.items():
        width, height = camera.publish
        size = 3 * width * height
        if not camera.jpeg and size > LARGEST_RAW:
            yield (
                f"camera {name}: many of its raw pictures, {size / 1e6:.1f} MB each, will be lost "
                "on their way: give it `jpeg: 95`"
            )


def deep(topic: Topic, stream: RecordedTopic) -> Topic:
    """The topic with a history of `KEPT_S`."""
    if stream.claim_hz is None:
        return topic.history(LEAST_KEPT)
    return topic.history(max(LEAST_KEPT, round(KEPT_S * stream.claim_hz)))
