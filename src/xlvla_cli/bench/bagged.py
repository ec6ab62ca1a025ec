"""An episode as a recording: what a recorder would have written, had it seen it. For benches, tests
and tools that read bags.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xlvla import topics
from xlvla.types import PARTS, SECOND, Part, Side
from xlvla_data import jpeg
from xlvla_data.bag.card import EpisodeCard
from xlvla_data.bag.layout import BagTopic, Qos, as_yaml
from xlvla_data.bag.writer import BagWriter
from xlvla_data.episode import Episode
from xlvla_data.recorded import kept
from xlvla_data.tracking import resampled

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

IMAGE = "sensor_msgs/msg/CompressedImage"
JOINTS = "sensor_msgs/msg/JointState"
CLOUD = "sensor_msgs/msg/PointCloud2"
POSE = "geometry_msgs/msg/PoseStamped"
CONTROL_HZ = 100
BEGAN_NS = SECOND

TimedMessage = tuple[int, str, str, bytes]
"""A message: its stamp [ns], its topic and type, and what it says, serialised."""


def write(episode: Episode, folder: Path, verdict: str = "green") -> Path:
    """Writes an episode as a bag with its card; joints go in straight lines between frames."""
    from rosbags.typesys import Stores, get_typestore

    types = get_typestore(Stores.ROS2_JAZZY)
    timed = sorted(
        [*_seen(episode, types), *_bodies(episode, types), *_others(episode, types)],
        key=lambda each: each[0],
    )
    kinds = dict.fromkeys((topic, kind) for _, topic, kind, _ in timed)
    writer = BagWriter(folder, [_topic(topic, kind, types) for topic, kind in kinds], "")
    last = 0
    for stamp, topic, _, data in timed:
        writer.add(topic, data, stamp, stamp)
        if stamp - last > SECOND:
            writer.flush()
            last = stamp
    writer.flush()
    writer.close()
    _card(episode, folder.name, verdict, timed[0][0], timed[-1][0]).write(folder)
    return folder


def _topic(name: str, kind: str, types: Typestore) -> BagTopic:
    text, digest = types.generate_msgdef(kind, ros_version=2)
    return BagTopic(name, kind, text, digest, as_yaml_list(Qos(1, reliable=False, latched=False)))


def as_yaml_list(qos: Qos) -> str:
    return "- " + as_yaml(qos.document()).strip().replace("\n", "\n  ")


def _card(episode: Episode, name: str, verdict: str, began_ns: int, ended_ns: int) -> EpisodeCard:
    info = episode.info
    return EpisodeCard(
        name=name,
        state="stopped",
        task=info.task,
        instruction=info.instruction,
        hands=info.hands,
        joints={
            side: {part: list(names) for part, names in parts.items()}
            for side, parts in info.joints.items()
        },
        rates_hz={},
        rig={},
        rig_hash="",
        codec=info.codec,
        simulated=info.seed >= 0,
        seed=info.seed if info.seed >= 0 else None,
        success=info.success,
        verdict=verdict,
        began_ns=began_ns,
        ended_ns=ended_ns,
        duration_s=(ended_ns - began_ns) / SECOND,
    )


def _seen(episode: Episode, types: Typestore) -> Iterator[TimedMessage]:
    kind = types.types[IMAGE]
    for camera, pictures in episode.pictures.items():
        for frame, picture in enumerate(pictures):
            stamp = BEGAN_NS + round(frame * SECOND / episode.info.rate_hz)
            data = np.frombuffer(jpeg.encode(picture), np.uint8)
            message = kind(_header(stamp, camera, types), "rgb8; jpeg compressed bgr8", data)
            yield (
                stamp,
                topics.COMPRESSED.format(camera=camera),
                IMAGE,
                types.serialize_cdr(message, IMAGE).tobytes(),
            )


def _bodies(episode: Episode, types: Typestore) -> Iterator[TimedMessage]:
    """States at their frames' times, commands at the ends of their frames, and both between
    them.
    """
    ends = np.arange(1, 1 + episode.frames) / episode.info.rate_hz
    for side, parts in episode.info.joints.items():
        for part in PARTS:
            begin = episode.measured[side][part][:1]
            names = tuple(parts[part])
            commands = np.concatenate([begin, episode.action[side][part]])
            measured = episode.measured[side][part]
            state = topics.PART_JOINT_STATES
            yield from _joints(state, side, part, names, ends - ends[0], measured, types)
            yield from _joints(
                topics.COMMAND, side, part, names, np.append(0.0, ends), commands, types
            )


def _joints(
    template: str,
    side: Side,
    part: Part,
    names: tuple[str, ...],
    at_s: np.ndarray,
    rows: np.ndarray,
    types: Typestore,
) -> Iterator[TimedMessage]:
    kind = types.types[JOINTS]
    none = np.zeros(0)
    topic = template.format(side=side, part=part)
    times = np.arange(round(at_s[-1] * CONTROL_HZ) + 1) / CONTROL_HZ
    for time_s, row in zip(times, resampled(at_s, rows, times), strict=True):
        stamp = BEGAN_NS + round(time_s * SECOND)
        message = kind(_header(stamp, "", types), list(names), row, none, none)
        yield stamp, topic, JOINTS, types.serialize_cdr(message, JOINTS).tobytes()


def _others(episode: Episode, types: Typestore) -> Iterator[TimedMessage]:
    """Forces and the operator's hands, at the frames' times."""
    for topic, (key, _) in kept(episode.info.hands).items():
        column = episode.others.get(key)
        for frame, row in enumerate(column.values if column else ()):
            stamp = BEGAN_NS + round(frame * SECOND / episode.info.rate_hz)
            kind, message = _other(
                topic, row, column.names if column else (), _header(stamp, "", types), types.types
            )
            yield stamp, topic, kind, types.serialize_cdr(message, kind).tobytes()


def _other(
    topic: str, row: np.ndarray, names: tuple[str, ...], header: Any, types: Mapping[str, Any]
) -> tuple[str, Any]:
    """The type and the message of a row of numbers."""
    none = np.zeros(0)
    if topics.match(topics.OPERATOR_KEYPOINTS, topic):
        fields = [
            types["sensor_msgs/msg/PointField"](axis, 4 * k, 7, 1) for k, axis in enumerate("xyz")
        ]
        data = np.frombuffer(row.astype("<f4").tobytes(), np.uint8)
        return CLOUD, types[CLOUD](header, 1, 21, fields, False, 12, 12 * 21, data, True)
    if topics.match(topics.OPERATOR_WRIST, topic):
        place, turn = (types[f"geometry_msgs/msg/{kind}"] for kind in ("Point", "Quaternion"))
        return POSE, types[POSE](
            header,
            types["geometry_msgs/msg/Pose"](
                place(*map(float, row[:3])), turn(*map(float, row[3:]))
            ),
        )
    forces = topics.match(topics.TACTILE, topic)
    numbers = (none, none, row.astype(float)) if forces else (row.astype(float), none, none)
    return JOINTS, types[JOINTS](header, list(names), *numbers)


def _header(stamp: int, frame: str, types: Typestore) -> Any:
    time = types.types["builtin_interfaces/msg/Time"](stamp // SECOND, stamp % SECOND)
    return types.types["std_msgs/msg/Header"](time, frame)
