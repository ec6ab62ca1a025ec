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
    """How a topic is offered: the newest `depth` messages, whether lost ones are sent again,
    whether late readers get them.
    """

    depth: int
    reliable: bool
    latched: bool

    def document(self) -> dict[str, Any]:
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
    """A topic of a bag: its name, its type ('sensor_msgs/msg/JointState') with definition and hash,
    and how it was offered, as YAML.
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
    """What `metadata.yaml` says of one file of a bag: its name, messages by topic, log times of the
    first and the last message.
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
    """What `metadata.yaml` says of a bag, without its outermost key."""
    with_messages = [file for file in files if file.total]
    first_ns = min((file.first_ns for file in with_messages), default=0)
    last_ns = max((file.last_ns for file in with_messages), default=0)
    counts = Counter[str]()
    for file in files:
        counts.update(file.counts)
    return {
        "version": VERSION,
        "storage_identifier": STORAGE,
        **_span(first_ns, last_ns),
        "message_count": counts.total(),
        "topics_with_message_count": [
            {"topic_metadata": topic.document(), "message_count": counts[topic.name]}
            for topic in topics
        ],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file.name for file in files],
        "files": [
            {"path": file.name, **_span(file.first_ns, file.last_ns), "message_count": file.total}
            for file in files
        ],
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
    """Without anchors, which nobody expects in a bag."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
