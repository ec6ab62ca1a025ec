"""What a bag is on disk: a folder as rosbag2 of ROS 2 Jazzy writes it, with one MCAP file and
`metadata.yaml`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

METADATA = "metadata.yaml"
VERSION = 9
"""Of `metadata.yaml`, since Jazzy."""

PROFILE = "ros2"
SCHEMA_ENCODING = "ros2msg"
MESSAGE_ENCODING = "cdr"
STORAGE = "mcap"

FOREVER = {"sec": 9223372036, "nsec": 854775807}
"""How rosbag2 writes an infinite duration."""


@dataclass(frozen=True)
class Qos:
    """Quality of service of a publisher.

    Args:
        depth: how many of the newest messages are kept.
        reliable: lost messages are sent again.
        latched: later subscribers get the messages kept.
    """

    depth: int
    reliable: bool
    latched: bool

    def document(self) -> dict[str, Any]:
        """As rosbag2 stores it."""
        return {
            "history": "keep_last",
            "depth": self.depth,
            "reliability": "reliable" if self.reliable else "best_effort",
            "durability": "transient_local" if self.latched else "volatile",
            "deadline": dict(FOREVER),
            "lifespan": dict(FOREVER),
            "liveliness": "automatic",
            "liveliness_lease_duration": dict(FOREVER),
            "avoid_ros_namespace_conventions": False,
        }


@dataclass(frozen=True)
class BagTopic:
    """A topic of a bag.

    Args:
        type: as 'sensor_msgs/msg/JointState'.
        definition: text of the type and of those it is made of.
        type_hash: RIHS01 hash of the type; '' where it is unknown.
        qos: YAML of its publishers' quality of service.
    """

    name: str
    type: str
    definition: str
    type_hash: str
    qos: str

    def document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.type,
            "serialization_format": MESSAGE_ENCODING,
            "offered_qos_profiles": from_yaml(self.qos) or [],
            "type_description_hash": self.type_hash,
        }


def mcap_path(folder: Path) -> Path:
    """The bag's file, named as rosbag2 names it."""
    return folder / f"{folder.name}_0.mcap"


@dataclass(frozen=True)
class FileFacts:
    """A file of a bag in `metadata.yaml`.

    Args:
        counts: messages by topic.
        first_ns, last_ns: log times of the first and the last message.
    """

    name: str
    counts: Mapping[str, int]
    first_ns: int
    last_ns: int

    @property
    def total(self) -> int:
        return sum(self.counts.values())


def information(
    files: Sequence[FileFacts], topics: Sequence[BagTopic], distro: str
) -> dict[str, Any]:
    """The contents of `metadata.yaml`, without the outermost key."""
    with_messages = [file for file in files if file.total]
    first_ns = min((file.first_ns for file in with_messages), default=0)
    last_ns = max((file.last_ns for file in with_messages), default=0)
    counts = Counter[str]()
    for file in files:
        counts.update(file.counts)
    topics_with_count: list[dict[str, Any]] = []
    for topic in topics:
        entry = {"topic_metadata": topic.document(), "message_count": counts[topic.name]}
        topics_with_count.append(entry)
    file_entries: list[dict[str, Any]] = []
    for file in files:
        span = _span(file.first_ns, file.last_ns)
        file_entries.append({"path": file.name, **span, "message_count": file.total})
    return {
        "version": VERSION,
        "storage_identifier": STORAGE,
        **_span(first_ns, last_ns),
        "message_count": counts.total(),
        "topics_with_message_count": topics_with_count,
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file.name for file in files],
        "files": file_entries,
        "custom_data": None,
        "ros_distro": distro,
    }


def _span(first_ns: int, last_ns: int) -> dict[str, Any]:
    return {
        "duration": {"nanoseconds": max(last_ns - first_ns, 0)},
        "starting_time": {"nanoseconds_since_epoch": first_ns},
    }


def from_yaml(text: str) -> Any:
    """The document in a text, by the fast parser where there is one; raises yaml.YAMLError where it
    is none.
    """
    return yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def as_yaml(document: Mapping[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Plain, sort_keys=False)


class _Plain(yaml.SafeDumper):
    """Without anchors, which rosbag2 does not write."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
