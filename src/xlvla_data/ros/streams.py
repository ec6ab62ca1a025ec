"""What is recorded of a rig, topic by topic, and how it is stored."""

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
    """Whether a camera says it uncompressed; it is recorded compressed, as image_transport would
    say it.
    """
    return type_name(topic) == RAW_KIND


def _stored(topic: Topic) -> BagTopic:
    reliable = topic.qos.reliability == ReliabilityPolicy.RELIABLE
    latched = topic.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
    name, kind = (
        (topics.compressed(topic.name), KIND)
        if is_raw_picture(topic)
        else (topic.name, type_name(topic))
    )
    return described(name, kind, Qos(topic.qos.depth, reliable, latched))
