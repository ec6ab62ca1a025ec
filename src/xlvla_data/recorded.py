"""A recorded bag as streams of numbers and pictures, by the names of its topics."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from xlvla import topics
from xlvla.errors import XlvlaError
from xlvla.types import PARTS, SECOND, Part, Side
from xlvla_data.bag.decode import Decoder, Positions
from xlvla_data.bag.reader import Bag, Message
from xlvla_data.episode import EpisodeInfo
from xlvla_data.jpeg import Decoder as Pictures
from xlvla_data.recorded_episode import Bodies, CameraStream, RecordedEpisode, SampledStream

POSE = ("x", "y", "z", "qx", "qy", "qz", "qw")
POINTS = tuple(f"point{number}.{axis}" for number in range(21) for axis in "xyz")

SENSED = "observation.tactile."
OPERATOR = "operator."


def take(bag: Bag, rate_hz: int, without: Sequence[str] = ()) -> RecordedEpisode:
    """Everything of a recorded episode that a data set keeps, in memory, pictures still as they
    were compressed.

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
    readers = {
        topic: each
        for topic, each in kept(card.hands).items()
        if topic in bag.topics and not each[0].startswith(tuple(without))
    }
    cameras = _cameras(bag.topics)
    joints = _joint_topics(bag)
    messages: dict[str, list[Message]] = {
        topic: [] for topic in (*joints, *cameras.values(), *readers)
    }
    decoder = Decoder()
    for message in bag.messages(set(messages), raw=True):
        if (
            message.topic not in joints
        ):  # these come by the hundred a second, and of them only positions are wanted
            message = replace(message, content=decoder(bag.topics[message.topic], message.content))
        messages[message.topic].append(message)
    info = _info(bag, rate_hz)
    return RecordedEpisode(
        info,
        {camera: _shots(messages[topic]) for camera, topic in cameras.items()},
        _bodies(topics.PART_JOINT_STATES, messages, card.joints),
        _bodies(topics.COMMAND, messages, card.joints),
        {
            key: stream
            for topic, (key, read) in readers.items()
            if (stream := read(messages[topic])).names
        },
    )


def bodies(bag: Bag) -> tuple[Bodies, Bodies]:
    """What was measured and what was commanded, and nothing else of an episode; raises what `take`
    raises.
    """
    messages: dict[str, list[Message]] = {topic: [] for topic in _joint_topics(bag)}
    for message in bag.messages(set(messages), raw=True):
        messages[message.topic].append(message)
    measured = _bodies(topics.PART_JOINT_STATES, messages, bag.info.joints)
    return measured, _bodies(topics.COMMAND, messages, bag.info.joints)


def _joint_topics(bag: Bag) -> set[str]:
    wanted = {
        template.format(side=side, part=part)
        for side in bag.info.joints
        for part in PARTS
        for template in (topics.PART_JOINT_STATES, topics.COMMAND)
    }
    if missing := sorted(wanted - set(bag.topics)):
        raise XlvlaError(f"the recording has no {', '.join(missing)}")
    return wanted


def _bodies(
    template: str, messages: Mapping[str, Sequence[Message]], sides: Iterable[Side]
) -> Bodies:
    return {
        side: {part: _positions(messages[template.format(side=side, part=part)]) for part in PARTS}
        for side in sides
    }


def _info(bag: Bag, rate_hz: int) -> EpisodeInfo:
    card = bag.info
    joints: dict[Side, dict[Part, tuple[str, ...]]] = {
        side: {part: tuple(names) for part, names in parts.items()}
        for side, parts in card.joints.items()
    }
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
    found: dict[str, str] = {}
    for template in (topics.IMAGE, topics.COMPRESSED):
        for name in names:
            if picture := topics.match(template, name):
                found[picture["camera"]] = name
    return dict(sorted(found.items()))


def kept(hands: Mapping[Side, str]) -> dict[str, tuple[str, Read]]:
    """Feature and reader by topic of what is kept where it was recorded."""
    found: dict[str, tuple[str, Read]] = {}
    for side in sorted(hands):
        for template, (feature, read) in KEPT.items():
            found[template.format(side=side)] = f"{feature}{side}", read
    return found


def _positions(messages: Sequence[Message]) -> SampledStream:
    """Positions of serialised JointStates by name; every message has the names of the first."""
    read = Positions()
    names = ()
    rows = list[np.ndarray]()
    for message in messages:
        try:
            values = read(message.content)
        except (struct.error, ValueError):
            raise XlvlaError(f"{_place(message)} is damaged or cut off") from None
        names = names or read.names
        rows.append(_row(message, names, read.names, values))
    return SampledStream(
        _stamps(messages), np.array(rows, float).reshape(len(rows), len(names)), names
    )


def _joints(messages: Sequence[Message], numbers: str = "position") -> SampledStream:
    """Numbers of JointStates by name; every message has the names of the first."""
    names = tuple(messages[0].content.name) if messages else ()
    rows = [
        _row(message, names, tuple(message.content.name), getattr(message.content, numbers))
        for message in messages
    ]
    return SampledStream(
        _stamps(messages), np.array(rows, float).reshape(len(rows), len(names)), names
    )


def _row(
    message: Message, names: tuple[str, ...], given: tuple[str, ...], values: np.ndarray
) -> np.ndarray:
    if len(given) != len(values) or (given != names and set(given) != set(names)):
        raise XlvlaError(f"{_place(message)} has other joints than the first")
    return values if given == names else values[[given.index(name) for name in names]]


def _place(message: Message) -> str:
    """Which message an error is about."""
    return f"{message.topic}: a message at {message.stamp_ns / SECOND:.3f} s"


def _wrist(messages: Sequence[Message]) -> SampledStream:
    poses = [
        (message.content.pose.position, message.content.pose.orientation) for message in messages
    ]
    rows = [[place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w] for place, turn in poses]
    return SampledStream(_stamps(messages), np.array(rows, float).reshape(-1, len(POSE)), POSE)


def _keypoints(messages: Sequence[Message]) -> SampledStream:
    rows = [_points(message) for message in messages]
    return SampledStream(_stamps(messages), np.array(rows, float).reshape(-1, len(POINTS)), POINTS)


def _points(message: Message) -> np.ndarray:
    """Coordinates [63] of a cloud of 21 points."""
    cloud = message.content
    size = len(message.content.data)
    if size != 21 * cloud.point_step or [field.name for field in cloud.fields[:3]] != [
        "x",
        "y",
        "z",
    ]:
        raise XlvlaError(f"{_place(message)} is not 21 points x, y, z")
    rows = np.frombuffer(cloud.data.tobytes(), np.uint8).reshape(21, cloud.point_step)
    return np.ascontiguousarray(rows[:, :12]).view(np.float32).reshape(-1)


def _shots(messages: Sequence[Message]) -> CameraStream:
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
    if content.encoding not in ("rgb8", "bgr8"):
        raise XlvlaError(f"image encoding '{content.encoding}' is not supported: rgb8 and bgr8 are")
    try:
        rows = content.data.reshape(content.height, content.step)[:, : 3 * content.width].reshape(
            content.height, content.width, 3
        )
    except ValueError:
        size = f"{content.width} x {content.height}, {content.step} bytes a row"
        raise XlvlaError(
            f"an image of {len(content.data)} bytes is not {size}, as it says"
        ) from None
    return rows if content.encoding == "rgb8" else rows[..., ::-1]


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
