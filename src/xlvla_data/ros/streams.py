"""The topics of a rig that are recorded, and how each is stored."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from xlvla import topics
from xlvla.rig import Rig
from xlvla.ros.topics import Topic
from xlvla.ros.wiring import recorded, type_name
from xlvla_data.bag.definitions import described
from xlvla_data.bag.layout import BagTopic, Qos
from xlvla_data.bag.picture import KIND, RAW_KIND
from xlvla_data.recorder.expected_streams import stream
from xlvla_data.recorder.stream_statistics import RecordedTopic


def streams(rig: Rig) -> list[tuple[Topic, RecordedTopic]]:
    """Topics with how they are stored and judged."""
    return [(topic, stream(rig, _stored(topic))) for topic in recorded(rig)]


def is_raw_picture(topic: Topic) -> bool:
    """Whether a camera publishes it uncompressed; it is recorded compressed, as image_transport
    would publish it.
    """
    return type_name(topic) == RAW_KIND


def _stored(topic: Topic) -> BagTopic:
    """A topic as it is in the bag."""
    qos = Qos(
        depth=topic.qos.depth,
        reliable=topic.qos.reliability == ReliabilityPolicy.RELIABLE,
        latched=topic.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL,
    )
    if is_raw_picture(topic):
        return described(topics.compressed(topic.name), KIND, qos)
    return described(topic.name, type_name(topic), qos)
