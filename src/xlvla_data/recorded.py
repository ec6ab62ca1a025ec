"""A recorded bag as streams of numbers and pictures, by the names of its topics."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from xlvla import topics
from xlvla.errors import XlvlaError
from xlvla.text import plain
from xlvla.types import PARTS, SECOND, Part, Side
from xlvla_data.bag.decode import Decoder, Positions
from xlvla_data.bag.reader import Bag, Message
from xlvla_data.episode import EpisodeInfo
from xlvla_data.jpeg import Decoder as Pictures
from xlvla_data.recorded_episode import Bodies, CameraStream, RecordedEpisode, SampledStream

POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
KEYPOINTS = 21
COORDINATE_BYTES = 12
"""Of x, y and z as float32."""

POINTS = tuple(f"point{number}.{axis}" for number in range(KEYPOINTS) for axis in "xyz")

ENCODINGS: Mapping[str, list[int]] = {
    "rgb8": [0, 1, 2],
    "bgr8": [2, 1, 0],
    "rgba8": [0, 1, 2],
    "bgra8": [2, 1, 0],
    "mono8": [0, 0, 0],
}
"""Which channels are red, green and blue, by the encoding of a raw image."""

Joints = Mapping[Side, Mapping[Part, Sequence[str]]]
"""Rig-wide names by side and part."""

SENSED = "observation.tactile."
OPERATOR = "operator."
"""Beginnings of features: forces, and what the operator's hands do."""


def take(bag: Bag, rate_hz: int, without: Sequence[str] = ()) -> RecordedEpisode:
    """Everything of a recorded episode that a data set keeps, in memory; pictures stay compressed.

    Args:
        without: beginnings of features to be left out, as 'operator'.

    Raises:
        XlvlaError: joints that the recording names were not in its messages, a message cannot be
            read, or a file is damaged or cut off.
    """
    card = bag.info
    if not bag.closed:
        raise XlvlaError(
            "a file of it was never closed, or is cut off: `xlvla data repair` makes it whole and "
            "keeps what it was"
        )
    readers: dict[str, tuple[str, Read]] = {}
    for topic, (feature, read) in kept(card.hands).items():
        if topic in bag.topics and not feature.startswith(tuple(without)):
            readers[topic] = feature, read
    cameras = _cameras(bag.topics)
    joints = _joint_topics(bag)
    messages: dict[str, list[Message]] = {}
    for topic in (*joints, *cameras.values(), *readers):
        messages[topic] = []
    decoder = Decoder()
    for message in bag.messages(set(messages), raw=True):
        # Joint states come by the hundred a second, and only their positions are wanted: they are
        # read without decoding the rest
        if message.topic not in joints:
            content = decoder(bag.topics[message.topic], message.content)
            message = message._replace(content=content)
        messages[message.topic].append(message)
    others: dict[str, SampledStream] = {}
    for topic, (feature, read) in readers.items():
        stream = read(messages[topic])
        if stream.names:
            others[feature] = stream
    return RecordedEpisode(
        info=_info(bag, rate_hz),
        cameras={camera: camera_stream(messages[topic]) for camera, topic in cameras.items()},
        state=_bodies(topics.PART_JOINT_STATES, messages, card.joints),
        command=_bodies(topics.COMMAND, messages, card.joints),
        others=others,
    )


def bodies(bag: Bag) -> tuple[Bodies, Bodies]:
    """The measured and the commanded positions of an episode; raises what `take` raises."""
    messages: dict[str, list[Message]] = {topic: [] for topic in _joint_topics(bag)}
    for message in bag.messages(set(messages), raw=True):
        messages[message.topic].append(message)
    measured = _bodies(topics.PART_JOINT_STATES, messages, bag.info.joints)
    commanded = _bodies(topics.COMMAND, messages, bag.info.joints)
    return measured, commanded


def cameras(bag: Bag) -> dict[str, CameraStream]:
    """The pictures of every camera that sent some, compressed as they were recorded; also of a bag
    that was cut off, to its last whole message.
    """
    by_camera = _cameras(bag.topics)
    messages: dict[str, list[Message]] = {topic: [] for topic in by_camera.values()}
    for message in bag.messages(set(messages)) if messages else ():
        messages[message.topic].append(message)
    return {
        camera: camera_stream(messages[topic])
        for camera, topic in by_camera.items()
        if messages[topic]
    }


def _joint_topics(bag: Bag) -> set[str]:
    """Topics of the states and commands of every part; raises XlvlaError where one is missing."""
    wanted: set[str] = set()
    for side, part in _parts(bag.info.joints):
        wanted.add(topics.PART_JOINT_STATES.format(side=side, part=part))
        wanted.add(topics.COMMAND.format(side=side, part=part))
    missing = sorted(wanted - set(bag.topics))
    if missing:
        raise XlvlaError(f"the recording has no {', '.join(missing)}")
    return wanted


def _bodies(template: str, messages: Mapping[str, Sequence[Message]], joints: Joints) -> Bodies:
    """Positions of every part, from the topics of a template."""
    streams: dict[Side, dict[Part, SampledStream]] = {side: {} for side in joints}
    for side, part in _parts(joints):
        topic = template.format(side=side, part=part)
        streams[side][part] = _positions(messages[topic])
    return streams


def _parts(joints: Joints) -> Iterator[tuple[Side, Part]]:
    """The arms and hands that were recorded; what a side does not have has no joints."""
    for side, parts in joints.items():
        for part in PARTS:
            if parts[part]:
                yield side, part


def _info(bag: Bag, rate_hz: int) -> EpisodeInfo:
    card = bag.info
    joints: dict[Side, dict[Part, tuple[str, ...]]] = {}
    for side, parts in card.joints.items():
        joints[side] = {part: tuple(names) for part, names in parts.items()}
    return EpisodeInfo(
        task=card.task,
        instruction=card.instruction,
        hands=card.hands,
        joints=joints,
        rate_hz=rate_hz,
        seed=-1 if card.seed is None else card.seed,
        success=card.success,
        codec=card.codec,
        verdict=card.verdict,
        session=bag.folder.parent.name,
        recording=bag.folder.name,
    )


def _cameras(names: Iterable[str]) -> dict[str, str]:
    """Topic by camera; compressed pictures where there are both."""
    names = sorted(names)
    by_camera: dict[str, str] = {}
    # A compressed topic replaces the raw one of its camera
    for template in (topics.IMAGE, topics.COMPRESSED):
        for name in names:
            fields = topics.match(template, name)
            if fields:
                by_camera[fields["camera"]] = name
    return dict(sorted(by_camera.items()))


def kept(hands: Mapping[Side, str]) -> dict[str, tuple[str, Read]]:
    """Feature and reader, by topic, of the streams that are kept where they were recorded."""
    readers: dict[str, tuple[str, Read]] = {}
    for side in sorted(hands):
        for template, (feature, read) in KEPT.items():
            readers[template.format(side=side)] = f"{feature}{side}", read
    return readers


def _positions(messages: Sequence[Message]) -> SampledStream:
    """Positions of serialised JointStates by name; every message has the names of the first."""
    read = Positions()
    names: tuple[str, ...] = ()
    rows: list[np.ndarray] = []
    for message in messages:
        try:
            values = read(message.content)
        except (struct.error, ValueError):
            raise XlvlaError(f"{_place(message)} is damaged or cut off") from None
        joints, columns = _joint_columns(read.names)
        if not names:
            names = joints
        values = values[columns] if len(values) == len(read.names) else np.zeros(0)
        rows.append(_row(message, names, joints, values))
    return _stream(messages, rows, names)


@cache
def _joint_columns(names: tuple[str, ...]) -> tuple[tuple[str, ...], list[int]]:
    """The joints among the names of a message, and their columns: a command has an origin, too."""
    columns = [k for k, name in enumerate(names) if name not in topics.COMMAND_ORIGIN]
    return tuple(names[k] for k in columns), columns


def _joints(messages: Sequence[Message], numbers: str = "position") -> SampledStream:
    """Numbers of JointStates, the field `numbers`, by name; every message has the names of the
    first.
    """
    names = tuple(messages[0].content.name) if messages else ()
    rows: list[np.ndarray] = []
    for message in messages:
        values = getattr(message.content, numbers)
        rows.append(_row(message, names, tuple(message.content.name), values))
    return _stream(messages, rows, names)


def _stream(
    messages: Sequence[Message], rows: Sequence[Any], names: tuple[str, ...]
) -> SampledStream:
    """A row of numbers for each message; also of the right shape where there is none."""
    values = np.array(rows, float).reshape(len(rows), len(names))
    return SampledStream(_stamps(messages), values, names)


def _row(
    message: Message, names: tuple[str, ...], given: tuple[str, ...], values: np.ndarray
) -> np.ndarray:
    """The values of a message in the order of `names`."""
    # Nearly every message has the order of the first, which is quick to tell
    in_order = given == names
    same_joints = in_order or set(given) == set(names)
    if len(given) != len(values) or not same_joints:
        raise XlvlaError(f"{_place(message)} has other joints than the first")
    if in_order:
        return values
    return values[[given.index(name) for name in names]]


def _place(message: Message) -> str:
    """Which message an error is about."""
    return f"{message.topic}: a message at {message.stamp_ns / SECOND:.3f} s"


def _wrist(messages: Sequence[Message]) -> SampledStream:
    rows: list[list[float]] = []
    for message in messages:
        position = message.content.pose.position
        turn = message.content.pose.orientation
        rows.append([position.x, position.y, position.z, turn.x, turn.y, turn.z, turn.w])
    return _stream(messages, rows, POSE)


def _keypoints(messages: Sequence[Message]) -> SampledStream:
    rows = [_points(message) for message in messages]
    return _stream(messages, rows, POINTS)


def _points(message: Message) -> np.ndarray:
    """Coordinates [63] of a cloud of 21 points."""
    cloud = message.content
    axes = [field.name for field in cloud.fields[:3]]
    if len(cloud.data) != KEYPOINTS * cloud.point_step or axes != ["x", "y", "z"]:
        raise XlvlaError(f"{_place(message)} is not {KEYPOINTS} points x, y, z")
    rows = np.frombuffer(cloud.data.tobytes(), np.uint8).reshape(KEYPOINTS, cloud.point_step)
    # A point may have more fields behind its coordinates
    coordinates = np.ascontiguousarray(rows[:, :COORDINATE_BYTES])
    return coordinates.view(np.float32).reshape(-1)


def camera_stream(messages: Sequence[Message]) -> CameraStream:
    """The pictures of a topic, decoded while they are gone through."""
    decoder = Pictures()
    return CameraStream(
        _stamps(messages),
        [message.content for message in messages],
        lambda content: _picture(content, decoder),
    )


def _picture(content: Any, decoder: Pictures) -> np.ndarray:
    """RGB uint8 [H, W, 3] of an image message, compressed or raw."""
    if not hasattr(content, "encoding"):
        return decoder(content.data.tobytes())
    channels = ENCODINGS.get(content.encoding)
    if channels is None:
        raise XlvlaError(
            f"image encoding '{plain(content.encoding, 40)}' is not supported: "
            f"{', '.join(ENCODINGS)} are"
        )
    height = content.height
    width = content.width
    size = max(channels) + 1
    if content.encoding in ("rgba8", "bgra8"):
        size = 4
    try:
        # Rows may be padded
        rows = content.data.reshape(height, content.step)[:, : size * width]
        pixels = rows.reshape(height, width, size)
    except ValueError:
        raise XlvlaError(
            f"an image of {len(content.data)} bytes is not {width} x {height}, "
            f"{content.step} bytes a row, as it says"
        ) from None
    return pixels[..., channels]


def _stamps(messages: Sequence[Message]) -> np.ndarray:
    return np.array([message.stamp_ns for message in messages], np.int64)


Read = Callable[[Sequence[Message]], SampledStream]

KEPT: Mapping[str, tuple[str, Read]] = {
    topics.TACTILE: (SENSED, partial(_joints, numbers="effort")),
    topics.OPERATOR_WRIST: (f"{OPERATOR}wrist.", _wrist),
    topics.OPERATOR_KEYPOINTS: (f"{OPERATOR}keypoints.", _keypoints),
    topics.LEADER: (f"{OPERATOR}leader.", _joints),
}
"""Feature and reader by template of a topic; the side's name follows."""
