"""Bags of others, MCAP or sqlite3, as streams: a map says which topics and joints are ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError, nearest
from xlvla.files import read_yaml
from xlvla.strict import build
from xlvla.text import plain
from xlvla.types import Part, Side
from xlvla_data import recorded
from xlvla_data.bag.card import CARD
from xlvla_data.bag.decode import Decoder
from xlvla_data.bag.layout import METADATA, BagTopic
from xlvla_data.bag.reader import Bag, Message
from xlvla_data.episode import EpisodeInfo
from xlvla_data.foreign import radians
from xlvla_data.name_map import Names, names_of
from xlvla_data.recorded_episode import CameraStream, RecordedEpisode, SampledStream

JOINT_STATE = "sensor_msgs/msg/JointState"
TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
ARRAYS = ("std_msgs/msg/Float64MultiArray", "std_msgs/msg/Float32MultiArray")
JOINTS = (JOINT_STATE, TRAJECTORY, *ARRAYS)
"""Types of messages that hold joints' positions."""

PICTURES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")

SEEN = 20
"""Messages of a topic whose names are looked at: several nodes may publish on one."""

SUFFIXES = (".mcap", ".mcap.zstd", ".db3", ".db3.zstd")
"""Of a bag's files."""


@dataclass(frozen=True)
class Streams:
    """Where the map finds what an episode is made of.

    Args:
        state, action: topics of measured and commanded positions.
        names: of the numbers of a topic whose messages do not name them.
        instruction: what every episode is told.
    """

    state: list[str]
    action: list[str]
    names: Mapping[str, list[str]] = field(default_factory=dict[str, list[str]])
    instruction: str = ""


@dataclass(frozen=True)
class BagMap:
    """A map from a bag's topics, and the names and units of its joints, to ours."""

    names: Names
    streams: Streams


def read_bag_map(path: Path) -> BagMap:
    """The map in a YAML file; raises XlvlaError with everything that is wrong with it."""
    try:
        document = read_yaml(path)
    except FileNotFoundError:
        raise XlvlaError(f"no map at {path}") from None
    except OSError as error:
        raise XlvlaError(f"{path} cannot be read: {error.strerror or error}") from None
    if not isinstance(document, dict):
        raise XlvlaError(f"{path} is no map: it must list hands, arms, state and action by name")
    own = {key: document.pop(key) for key in Streams.__dataclass_fields__ if key in document}
    for key in ("state", "action"):
        if isinstance(own.get(key), str):
            own[key] = [own[key]]
    streams, faults = build(Streams, own, "map")
    if streams is None or faults:
        lines = [fault.removeprefix("map.") for fault in faults]
        raise XlvlaError(f"{path}: {'; '.join(lines)}")
    return BagMap(names_of(document, str(path)), streams)


def bags(folder: Path) -> list[Path]:
    """The bags of others in a folder or up to two folders deeper, in order."""
    folders = [folder, *sorted(folder.glob("*/")), *sorted(folder.glob("*/*/"))]
    return [each for each in folders if not (each / CARD).is_file() and _files(each)]


def take(folder: Path, mapped: BagMap, rate_hz: int, source: str) -> RecordedEpisode:
    """A bag as an episode.

    Raises:
        XlvlaError: a topic or a joint is missing, or a message cannot be read.
    """
    names = mapped.names
    wanted = [*mapped.streams.state, *mapped.streams.action, *names.cameras.values()]
    messages = read(folder, wanted)
    _by_one_clock(messages)
    state = _streams(messages, mapped.streams.state, mapped.streams)
    action = _streams(messages, mapped.streams.action, mapped.streams)
    cameras: dict[str, CameraStream] = {}
    for ours, topic in names.cameras.items():
        cameras[ours] = recorded.camera_stream(messages[topic])
    info = EpisodeInfo(
        task=names.task,
        instruction=mapped.streams.instruction,
        hands=names.hands,
        joints=names.ours(),
        rate_hz=rate_hz,
        seed=-1,
        success=None,
        codec="",
        session=folder.resolve().parent.name,
        recording=f"{folder.resolve().name}-{source}",
        source=source,
    )
    return RecordedEpisode(
        info=info,
        cameras=cameras,
        state=_bodies(folder, "state", state, names),
        command=_bodies(folder, "action", action, names),
    )


def not_taken(folder: Path, mapped: BagMap) -> list[str]:
    """What a bag has and its conversion does not: topics, joints, and numbers of joints beside
    their positions.
    """
    streams = mapped.streams
    of_joints = [*streams.state, *streams.action]
    used = {*of_joints, *mapped.names.cameras.values()}
    missing = [f"{topic} ({kind})" for topic, kind in topics(folder).items() if topic not in used]
    taken: set[str] = set()
    for parts in mapped.names.ours().values():
        for joints in parts.values():
            taken.update(mapped.names.joints.get(joint, joint) for joint in joints)
    for topic, messages in read(folder, list(dict.fromkeys(of_joints)), SEEN).items():
        for message in messages:
            names, _ = _positions(topic, message.content, streams.names.get(topic))
            missing += [f"{topic}: {name}" for name in names if name not in taken]
            for kind in ("velocity", "effort"):
                if len(getattr(message.content, kind, ())):
                    missing.append(f"{topic}: {kind}")
    return list(dict.fromkeys(missing))


def topics(folder: Path) -> dict[str, str]:
    """The type of every topic of a bag."""
    if _in_sqlite(folder):
        reader = _sqlite(folder)
        types = {each.topic: each.msgtype for each in reader.connections}
        reader.close()
        return types
    return {name: topic.type for name, topic in Bag(folder).topics.items()}


def read(folder: Path, wanted: Sequence[str], most: int | None = None) -> dict[str, list[Message]]:
    """Decoded messages of some topics, at most so many of each; raises XlvlaError where a topic is
    missing or a message cannot be read.
    """
    found: dict[str, list[Message]] = {topic: [] for topic in wanted}
    there = topics(folder)
    for topic in wanted:
        if topic not in there:
            listing = ", ".join(sorted(there)) or "none"
            raise XlvlaError(
                f"{folder} has no topic '{plain(topic, 80)}'{nearest(topic, there)}; it has "
                f"{plain(listing, 300)}"
            )
    missing = set(wanted)
    for message in _messages(folder, set(wanted)):
        if most is None or len(found[message.topic]) < most:
            found[message.topic].append(message)
        else:
            missing.discard(message.topic)
            if not missing:
                break
    return found


def _files(folder: Path) -> list[Path]:
    """The files of a bag in a folder."""
    return sorted(path for path in folder.glob("*") if path.name.endswith(SUFFIXES))


def _in_sqlite(folder: Path) -> bool:
    return any(".db3" in path.name for path in _files(folder))


def _sqlite(folder: Path) -> Any:
    """A reader of a bag in sqlite3; raises XlvlaError where it cannot be opened."""
    from rosbags.rosbag2 import Reader

    if not (folder / METADATA).is_file():
        raise XlvlaError(f"{folder} has no {METADATA}: `ros2 bag reindex` writes it")
    try:
        reader = Reader(folder)
        reader.open()
        return reader
    # The library passes on whatever sqlite3, yaml and its own checks raise
    except Exception as error:
        raise XlvlaError(f"{folder} cannot be read: {plain(error, 200)}") from None


def _messages(folder: Path, wanted: set[str]) -> Iterator[Message]:
    if not _in_sqlite(folder):
        yield from Bag(folder).messages(wanted)
        return
    decode = Decoder()
    reader = _sqlite(folder)
    try:
        connections = [each for each in reader.connections if each.topic in wanted]
        for connection, log_ns, data in reader.messages(connections):
            topic = BagTopic(connection.topic, connection.msgtype, connection.msgdef.data, "", "")
            content = decode(topic, bytes(data))
            stamp_ns = _header_ns(content) or log_ns
            yield Message(topic.name, stamp_ns, log_ns, log_ns, content, 0)
    except XlvlaError:
        raise
    except Exception as error:
        raise XlvlaError(f"{folder} is damaged: {plain(error, 200)}") from None
    finally:
        reader.close()


def _header_ns(content: Any) -> int | None:
    """The stamp [ns] in a message's header; None where it has none or it is not filled in."""
    header = getattr(content, "header", None)
    if header is None:
        return None
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec or None


def _by_one_clock(found: dict[str, list[Message]]) -> None:
    """Stamps of headers where every message has one, else the times at which all of them came:
    streams of two clocks cannot be put beside each other.
    """

    every = [message for messages in found.values() for message in messages]
    stamped = all(_header_ns(message.content) is not None for message in every)
    for topic, messages in found.items():
        timed: list[Message] = []
        for message in messages:
            stamp_ns = _header_ns(message.content) if stamped else message.log_ns
            timed.append(message._replace(stamp_ns=stamp_ns))
        found[topic] = timed


def _streams(
    messages: Mapping[str, Sequence[Message]], wanted: Sequence[str], streams: Streams
) -> list[SampledStream]:
    """The joints' positions of some topics; where several publish on one, those of each."""
    found: list[SampledStream] = []
    for topic in wanted:
        stamps: dict[tuple[str, ...], list[int]] = {}
        rows: dict[tuple[str, ...], list[np.ndarray]] = {}
        for message in messages[topic]:
            names, positions = _positions(topic, message.content, streams.names.get(topic))
            if len(names) != len(positions):
                raise XlvlaError(
                    f"{topic}: a message has {len(positions)} positions for {len(names)} names"
                )
            stamps.setdefault(names, []).append(message.stamp_ns)
            rows.setdefault(names, []).append(positions)
        for names, values in rows.items():
            found.append(SampledStream(np.array(stamps[names], np.int64), np.array(values), names))
    return found


def _positions(
    topic: str, content: Any, given: Sequence[str] | None
) -> tuple[tuple[str, ...], np.ndarray]:
    """Names and positions in a message."""
    if hasattr(content, "joint_names"):
        if len(content.points) != 1:
            raise XlvlaError(
                f"{topic}: a message is a trajectory of {len(content.points)} points, not one "
                "command"
            )
        return tuple(content.joint_names), np.asarray(content.points[0].positions, float)
    if hasattr(content, "name") and hasattr(content, "position"):
        return tuple(content.name), np.asarray(content.position, float)
    if hasattr(content, "layout"):
        if given is None:
            raise XlvlaError(
                f"{topic}: its messages do not name their numbers: `names` in the map does, as in "
                f"names: {{{topic}: [joint1, joint2]}}"
            )
        return tuple(given), np.asarray(content.data, float)
    raise XlvlaError(f"{topic}: its messages hold no joints: {', '.join(JOINTS)} do")


def _bodies(
    folder: Path, what: str, streams: Sequence[SampledStream], names: Names
) -> dict[Side, dict[Part, SampledStream]]:
    """Positions by side and part, by our names and in our units."""
    bodies: dict[Side, dict[Part, SampledStream]] = {}
    for side, parts in names.ours().items():
        bodies[side] = {}
        for part, joints in parts.items():
            # A side may have no arm, or no hand
            if not joints:
                continue
            theirs = [names.joints.get(joint, joint) for joint in joints]
            stream = _having(folder, f"{side} {part} {what}", streams, theirs)
            values = stream.ordered(f"the {side} {part}", theirs)
            columns = [radians(values[:, k], joint, names) for k, joint in enumerate(joints)]
            bodies[side][part] = SampledStream(stream.stamps, np.stack(columns, 1), joints)
    return bodies


def _having(
    folder: Path, what: str, streams: Sequence[SampledStream], joints: Sequence[str]
) -> SampledStream:
    """The stream that has all of these joints; raises XlvlaError where none has."""
    lacking: list[list[str]] = []
    for stream in streams:
        missing = [joint for joint in joints if joint not in stream.names]
        if not missing:
            return stream
        lacking.append(missing)
    missing = min(lacking, key=len, default=list(joints))
    known = dict.fromkeys(name for stream in streams for name in stream.names)
    raise XlvlaError(
        f"{folder}: {what} lacks '{plain(missing[0], 80)}' and {len(missing) - 1} more: it has "
        f"{plain(', '.join(known), 300) or 'nothing'}; `joints` in the map names them"
    )
