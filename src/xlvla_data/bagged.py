"""An episode as a recording: what a recorder would have written, had it seen it. For benches, tests
and tools that read bags.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xlvla import topics
from xlvla.types import PARTS, SECOND
from xlvla_data import jpeg
from xlvla_data.bag.card import EpisodeCard
from xlvla_data.bag.layout import BagTopic, Qos, as_yaml
from xlvla_data.bag.writer import BagWriter
from xlvla_data.episode import Column, Episode
from xlvla_data.recorded import kept
from xlvla_data.tracking import resampled

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
JOINT_STATE = "sensor_msgs/msg/JointState"
POINT_CLOUD = "sensor_msgs/msg/PointCloud2"
POINT_FIELD = "sensor_msgs/msg/PointField"
POSE_STAMPED = "geometry_msgs/msg/PoseStamped"
POSE = "geometry_msgs/msg/Pose"
POINT = "geometry_msgs/msg/Point"
QUATERNION = "geometry_msgs/msg/Quaternion"
HEADER = "std_msgs/msg/Header"
TIME = "builtin_interfaces/msg/Time"

FLOAT32 = 7
"""Datatype of a PointField."""

FLOAT32_BYTES = 4
KEYPOINTS = 21

IMAGE_FORMAT = "rgb8; jpeg compressed bgr8"
"""Format of a CompressedImage, as image_transport writes it."""

CONTROL_HZ = 100
"""Rate of joint states and commands."""

BEGAN_NS = SECOND
"""Stamp of the first frame."""

NOTHING = np.zeros(0)


@dataclass(frozen=True)
class TimedMessage:
    """A serialised message of a topic, and when it was published."""

    stamp_ns: int
    topic: str
    type: str
    data: bytes


class MessageFactory:
    """Messages of ROS 2 Jazzy, built by the names of their fields and serialised, without ROS."""

    def __init__(self, types: Typestore):
        self._types = types

    def compressed_image(self, stamp_ns: int, topic: str, camera: str, data: bytes) -> TimedMessage:
        """A JPEG; the camera's name is its coordinate frame."""
        message = self._build(
            COMPRESSED_IMAGE,
            header=self._header(stamp_ns, camera),
            format=IMAGE_FORMAT,
            data=np.frombuffer(data, np.uint8),
        )
        return self._timed(stamp_ns, topic, COMPRESSED_IMAGE, message)

    def joint_state(
        self,
        stamp_ns: int,
        topic: str,
        names: tuple[str, ...],
        *,
        position: np.ndarray = NOTHING,
        effort: np.ndarray = NOTHING,
    ) -> TimedMessage:
        """Positions [J] rad, or efforts [J]."""
        message = self._build(
            JOINT_STATE,
            header=self._header(stamp_ns),
            name=list(names),
            position=position,
            velocity=NOTHING,
            effort=effort,
        )
        return self._timed(stamp_ns, topic, JOINT_STATE, message)

    def wrist(self, stamp_ns: int, topic: str, pose: np.ndarray) -> TimedMessage:
        """A pose: x, y, z [m], then the quaternion x, y, z, w."""
        x, y, z, qx, qy, qz, qw = map(float, pose)
        position = self._build(POINT, x=x, y=y, z=z)
        orientation = self._build(QUATERNION, x=qx, y=qy, z=qz, w=qw)
        message = self._build(
            POSE_STAMPED,
            header=self._header(stamp_ns),
            pose=self._build(POSE, position=position, orientation=orientation),
        )
        return self._timed(stamp_ns, topic, POSE_STAMPED, message)

    def keypoints(self, stamp_ns: int, topic: str, points: np.ndarray) -> TimedMessage:
        """A cloud of the hand's 21 points, x, y, z of each [63] m."""
        fields: list[Any] = []
        for axis in "xyz":
            offset = len(fields) * FLOAT32_BYTES
            field = self._build(POINT_FIELD, name=axis, offset=offset, datatype=FLOAT32, count=1)
            fields.append(field)
        point_bytes = len(fields) * FLOAT32_BYTES
        message = self._build(
            POINT_CLOUD,
            header=self._header(stamp_ns),
            height=1,
            width=KEYPOINTS,
            fields=fields,
            is_bigendian=False,
            point_step=point_bytes,
            row_step=KEYPOINTS * point_bytes,
            data=np.frombuffer(points.astype("<f4").tobytes(), np.uint8),
            is_dense=True,
        )
        return self._timed(stamp_ns, topic, POINT_CLOUD, message)

    def topic(self, name: str, kind: str) -> BagTopic:
        """How a bag describes a topic of this type."""
        text, digest = self._types.generate_msgdef(kind, ros_version=2)
        qos = Qos(1, reliable=False, latched=False)
        return BagTopic(name, kind, text, digest, _yaml_list(qos))

    def _header(self, stamp_ns: int, frame_id: str = "") -> Any:
        stamp = self._build(TIME, sec=stamp_ns // SECOND, nanosec=stamp_ns % SECOND)
        return self._build(HEADER, stamp=stamp, frame_id=frame_id)

    def _build(self, kind: str, **fields: Any) -> Any:
        return self._types.types[kind](**fields)

    def _timed(self, stamp_ns: int, topic: str, kind: str, message: Any) -> TimedMessage:
        data = self._types.serialize_cdr(message, kind).tobytes()
        return TimedMessage(stamp_ns, topic, kind, data)


def write(episode: Episode, folder: Path, verdict: str = "green") -> Path:
    """Writes an episode as a bag with its card; joints are interpolated linearly between frames."""
    from rosbags.typesys import Stores, get_typestore

    factory = MessageFactory(get_typestore(Stores.ROS2_JAZZY))
    messages = [
        *_images(episode, factory),
        *_joints(episode, factory),
        *_others(episode, factory),
    ]
    messages.sort(key=lambda message: message.stamp_ns)
    types = {message.topic: message.type for message in messages}
    bag_topics = [factory.topic(name, kind) for name, kind in types.items()]
    writer = BagWriter(folder, bag_topics, "")
    flushed_ns = 0
    for message in messages:
        writer.add(message.topic, message.data, message.stamp_ns, message.stamp_ns)
        if message.stamp_ns - flushed_ns > SECOND:
            writer.flush()
            flushed_ns = message.stamp_ns
    writer.flush()
    writer.close()
    card = _card(episode, folder.name, verdict, messages[0].stamp_ns, messages[-1].stamp_ns)
    card.write(folder)
    return folder


def _yaml_list(qos: Qos) -> str:
    """The document as the only item of a list, as rosbag2 stores the profiles of publishers."""
    return "- " + as_yaml(qos.document()).strip().replace("\n", "\n  ")


def _card(episode: Episode, name: str, verdict: str, began_ns: int, ended_ns: int) -> EpisodeCard:
    info = episode.info
    simulated = info.seed >= 0
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
        simulated=simulated,
        seed=info.seed if simulated else None,
        success=info.success,
        verdict=verdict,
        began_ns=began_ns,
        ended_ns=ended_ns,
        duration_s=(ended_ns - began_ns) / SECOND,
    )


def _frame_ns(frame: int, rate_hz: float) -> int:
    """The stamp of a frame."""
    return BEGAN_NS + round(frame * SECOND / rate_hz)


def _images(episode: Episode, factory: MessageFactory) -> Iterator[TimedMessage]:
    for camera, pictures in episode.pictures.items():
        topic = topics.COMPRESSED.format(camera=camera)
        for frame, picture in enumerate(pictures):
            stamp_ns = _frame_ns(frame, episode.info.rate_hz)
            yield factory.compressed_image(stamp_ns, topic, camera, jpeg.encode(picture))


def _joints(episode: Episode, factory: MessageFactory) -> Iterator[TimedMessage]:
    """States at their frames' times, commands at the ends of their frames, and both between
    them.
    """
    ends_s = np.arange(episode.frames + 1) / episode.info.rate_hz
    frames_s = ends_s[1:] - ends_s[1]
    for side, parts in episode.info.joints.items():
        for part in PARTS:
            names = tuple(parts[part])
            measured = episode.measured[side][part]
            state_topic = topics.PART_JOINT_STATES.format(side=side, part=part)
            yield from _trajectory(state_topic, names, frames_s, measured, factory)

            # The first command moves the robot from where it was measured first
            commands = np.concatenate([measured[:1], episode.action[side][part]])
            command_topic = topics.COMMAND.format(side=side, part=part)
            yield from _trajectory(command_topic, names, ends_s, commands, factory)


def _trajectory(
    topic: str,
    names: tuple[str, ...],
    times_s: np.ndarray,
    positions: np.ndarray,
    factory: MessageFactory,
) -> Iterator[TimedMessage]:
    """JointStates at `CONTROL_HZ` of positions [N, J] rad at times [N] s."""
    count = round(times_s[-1] * CONTROL_HZ) + 1
    grid_s = np.arange(count) / CONTROL_HZ
    rows = resampled(times_s, positions, grid_s)
    for time_s, row in zip(grid_s, rows, strict=True):
        stamp_ns = BEGAN_NS + round(time_s * SECOND)
        yield factory.joint_state(stamp_ns, topic, names, position=row)


def _others(episode: Episode, factory: MessageFactory) -> Iterator[TimedMessage]:
    """Forces and the operator's hands, at the frames' times."""
    for topic, (feature, _) in kept(episode.info.hands).items():
        column = episode.others.get(feature)
        if column is None:
            continue
        for frame, row in enumerate(column.values):
            stamp_ns = _frame_ns(frame, episode.info.rate_hz)
            yield _other(stamp_ns, topic, row, column, factory)


def _other(
    stamp_ns: int, topic: str, row: np.ndarray, column: Column, factory: MessageFactory
) -> TimedMessage:
    """The message of one row of a column that is neither a picture nor a part's joints."""
    if topics.match(topics.OPERATOR_KEYPOINTS, topic):
        return factory.keypoints(stamp_ns, topic, row)
    if topics.match(topics.OPERATOR_WRIST, topic):
        return factory.wrist(stamp_ns, topic, row)
    if topics.match(topics.TACTILE, topic):
        return factory.joint_state(stamp_ns, topic, column.names, effort=row.astype(float))
    return factory.joint_state(stamp_ns, topic, column.names, position=row.astype(float))
