"""Writing and reading a minute of a bimanual robot: joint states and commands of four parts at
200 Hz, two cameras at 30 Hz.

All write chunks of lz4 with checksums and message indexes; what was written is read back by the
library mcap, message by message, with checksums.
"""

from __future__ import annotations

import math
import os
import pickle
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from xlvla.types import SECOND
from xlvla_cli.bench.peers.contest import Result
from xlvla_data.bag.layout import BagTopic, Qos

LONG_S = 60.0
"""What is recorded, at full size."""

RATE_HZ = 200.0
CAMERA_HZ = 30.0
PICTURE_BYTES = 58_000
"""Of a compressed picture of 640 x 480; noise stands for it."""

JOINTS = {"arm": 7, "hand": 6}
FLUSH_NS = SECOND // 2
CHUNK_BYTES = 1 << 20
BEGAN_NS = 1_700_000_000 * SECOND

WORK = "work"
BAG = "bag"

_STATES = "sensor_msgs/msg/JointState"
_PICTURE = "sensor_msgs/msg/CompressedImage"


@dataclass(frozen=True)
class Work:
    """What is to be written: topics, and topic number, log time and data of the messages."""

    topics: list[BagTopic]
    messages: list[tuple[int, int, bytes]]


def prepare(folder: Path, size: float) -> Result:
    """Makes the messages, and the bag that is read."""
    from xlvla_data.bag.writer import BagWriter

    work = _work(LONG_S * size)
    (folder / WORK).write_bytes(pickle.dumps(work))
    writer = BagWriter(folder / BAG, work.topics, "jazzy")
    for chunk in _chunks(work):
        for number, ns, data in chunk:
            writer.add(work.topics[number].name, data, ns, ns)
        writer.flush()
    writer.close()
    return Result(len(work.messages))


def _work(seconds: float) -> Work:
    from xlvla_data.bag.definitions import described

    qos = Qos(1, reliable=False, latched=False)
    topics: list[BagTopic] = []
    parts: list[tuple[str, int]] = []
    for side in ("left", "right"):
        for part, count in JOINTS.items():
            for stream in ("joint_states", "command"):
                topics.append(described(f"/{side}/{part}/{stream}", _STATES, qos))
                parts.append((f"{side}_{part}", count))
    for camera in ("front", "wrist"):
        topics.append(described(f"/cameras/{camera}/image_raw/compressed", _PICTURE, qos))
    noise = np.random.default_rng(0)
    timed: list[tuple[int, int]] = []
    for number, topic in enumerate(topics):
        rate_hz = CAMERA_HZ if topic.type == _PICTURE else RATE_HZ
        for tick in range(round(seconds * rate_hz)):
            timed.append((BEGAN_NS + round(tick / rate_hz * SECOND), number))
    messages: list[tuple[int, int, bytes]] = []
    for log_ns, number in sorted(timed):
        data = _serialised(topics[number].type, log_ns, number, parts, noise)
        messages.append((number, log_ns, data))
    return Work(topics, messages)


def _serialised(
    kind: str, ns: int, number: int, parts: list[tuple[str, int]], noise: np.random.Generator
) -> bytes:
    from xlvla_data.bag.definitions import jazzy_types

    store = jazzy_types()
    stamp = store.types["builtin_interfaces/msg/Time"](sec=ns // SECOND, nanosec=ns % SECOND)
    fields: dict[str, Any]
    if kind == _PICTURE:
        frame = "camera"
        picture = np.frombuffer(noise.bytes(PICTURE_BYTES), np.uint8)
        fields = {"format": "jpeg", "data": picture}
    else:
        frame, count = parts[number]
        phase = ns / SECOND + np.arange(count)
        fields = {
            "name": [f"{frame}_joint{joint}" for joint in range(1, count + 1)],
            "position": np.sin(phase),
            "velocity": np.cos(phase),
            "effort": np.zeros(0),
        }
    header = store.types["std_msgs/msg/Header"](stamp=stamp, frame_id=frame)
    return bytes(store.serialize_cdr(store.types[kind](header=header, **fields), kind))


def _load(folder: Path) -> Work:
    return pickle.loads((folder / "work").read_bytes())


def _chunks(work: Work) -> Iterator[list[tuple[int, int, bytes]]]:
    """The messages, half a second at once."""
    chunk: list[tuple[int, int, bytes]] = []
    due = BEGAN_NS + FLUSH_NS
    for message in work.messages:
        if message[1] >= due:
            yield chunk
            chunk = []
            due += FLUSH_NS
        chunk.append(message)
    yield chunk


def _written(work: Work, path: Path, cpu_s: float) -> Result:
    """The figure of a file, and what of the messages is not in it."""
    from mcap.reader import make_reader

    expected = {(work.topics[number].name, ns): data for number, ns, data in work.messages}
    with path.open("rb") as file:
        for _, channel, message in make_reader(file, validate_crcs=True).iter_messages():
            data = expected.pop((channel.topic, message.log_time), None)
            if data != message.data:
                return Result(0.0, f"wrote another message of {channel.topic}")
    path.unlink()
    fault = f"did not write {len(expected)} messages" if expected else ""
    return Result(len(work.messages) / cpu_s, fault)


def write_ours(folder: Path, *, forced: bool = False) -> Result:
    from mcap.records import Metadata

    from xlvla_data.bag.mcap_file import McapFile

    work = _load(folder)
    path = folder / "ours.mcap"
    names = [topic.name for topic in work.topics]
    began = time.process_time()
    file = McapFile(path, work.topics, forced=forced)
    for chunk in _chunks(work):
        for number, ns, data in chunk:
            file.add(names[number], data, ns, ns)
        file.flush()
    file.close(lambda: Metadata("bench", {}))
    return _written(work, path, time.process_time() - began)


def write_ours_forced(folder: Path) -> Result:
    return write_ours(folder, forced=True)


def write_small_mcap(folder: Path, *, forced: bool = False) -> Result:
    from small_mcap import CompressionType, McapWriter

    work = _load(folder)
    path = folder / "small.mcap"
    began = time.process_time()
    with path.open("wb") as file:
        writer = McapWriter(file, chunk_size=CHUNK_BYTES, compression=CompressionType.LZ4)
        writer.start("ros2", "bench")
        _declare(work, writer.add_schema, writer.add_channel)
        for chunk in _chunks(work):
            for number, ns, data in chunk:
                writer.add_message(number + 1, ns, data, ns)
            if forced:
                _force(file)
        writer.finish()
        if forced:
            _force(file)
    return _written(work, path, time.process_time() - began)


def _force(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def write_small_mcap_forced(folder: Path) -> Result:
    return write_small_mcap(folder, forced=True)


def _declare(work: Work, schema: Any, channel: Any) -> None:
    """Declares types and topics, numbered from 1, with a writer's functions."""
    kinds = {topic.type: topic.definition for topic in work.topics}
    for number, (kind, text) in enumerate(kinds.items(), 1):
        schema(number, kind, "ros2msg", text.encode())
    for number, topic in enumerate(work.topics, 1):
        channel(number, topic.name, "cdr", list(kinds).index(topic.type) + 1)


def write_mcap(folder: Path) -> Result:
    from mcap.writer import CompressionType, Writer

    work = _load(folder)
    path = folder / "mcap.mcap"
    began = time.process_time()
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=CHUNK_BYTES, compression=CompressionType.LZ4)
        writer.start("ros2", "bench")
        kinds = {topic.type: topic.definition for topic in work.topics}
        schemas = {
            kind: writer.register_schema(kind, "ros2msg", text.encode())
            for kind, text in kinds.items()
        }
        channels = [
            writer.register_channel(topic.name, "cdr", schemas[topic.type]) for topic in work.topics
        ]
        for number, ns, data in work.messages:
            writer.add_message(channels[number], ns, data, ns)
        writer.finish()
    return _written(work, path, time.process_time() - began)


def write_foxglove(folder: Path) -> Result:
    from foxglove import Channel, Schema, open_mcap
    from foxglove.mcap import MCAPCompression, MCAPWriteOptions

    work = _load(folder)
    path = folder / "foxglove.mcap"
    began = time.process_time()
    options = MCAPWriteOptions(
        compression=MCAPCompression.Lz4, chunk_size=CHUNK_BYTES, profile="ros2"
    )
    with open_mcap(path, writer_options=options):
        channels = [
            Channel(
                topic.name,
                schema=Schema(name=topic.type, encoding="ros2msg", data=topic.definition.encode()),
                message_encoding="cdr",
            )
            for topic in work.topics
        ]
        for number, ns, data in work.messages:
            channels[number].log(data, log_time=ns)
    return _written(work, path, time.process_time() - began)


def read_ours(folder: Path) -> Result:
    from xlvla_data.bag.decode import Decoder
    from xlvla_data.bag.reader import Bag

    # Loads the types that are known, as the others do when they are imported
    Decoder()
    return _read(folder, ((m.topic, m.log_ns, m.content) for m in Bag(folder / BAG).messages()))


def read_small_mcap(folder: Path) -> Result:
    from mcap_ros2_support_fast.decoder import DecoderFactory
    from small_mcap import read_message_decoded

    def messages(file: IO[bytes]) -> Iterator[tuple[str, int, Any]]:
        for found in read_message_decoded(
            file, decoder_factories=[DecoderFactory()], validate_crc=True
        ):
            yield found.channel.topic, found.message.log_time, found.decoded_message

    with _bag(folder).open("rb") as file:
        return _read(folder, messages(file))


def read_mcap(folder: Path) -> Result:
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    def messages(file: IO[bytes]) -> Iterator[tuple[str, int, Any]]:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        for _, channel, message, content in reader.iter_decoded_messages():
            yield channel.topic, message.log_time, content

    with _bag(folder).open("rb") as file:
        return _read(folder, messages(file))


def read_rosbags(folder: Path) -> Result:
    from rosbags.highlevel import AnyReader

    with AnyReader([folder / BAG]) as reader:

        def messages() -> Iterator[tuple[str, int, Any]]:
            for connection, ns, data in reader.messages():
                yield connection.topic, ns, reader.deserialize(data, connection.msgtype)

        return _read(folder, messages())


def _bag(folder: Path) -> Path:
    from xlvla_data.bag.layout import mcap_path

    return mcap_path(folder / BAG)


def _read(folder: Path, messages: Iterable[tuple[str, int, Any]]) -> Result:
    """The figure of reading these messages, and what of them is missing or wrong."""
    work = _load(folder)
    found: list[tuple[str, int, float]] = []
    began = time.process_time()
    for topic, ns, content in messages:
        found.append((topic, ns, _first_number(content)))
    cpu_s = time.process_time() - began
    expected = Counter((work.topics[number].name, ns) for number, ns, _ in work.messages)
    if Counter((topic, ns) for topic, ns, _ in found) != expected:
        return Result(0.0, f"read {len(found)} messages of {len(work.messages)}, or others")
    for topic, ns, number in found:
        if not topic.startswith("/cameras") and abs(number - math.sin(ns / SECOND)) > 1e-9:
            return Result(0.0, f"read another message of {topic}")
    return Result(len(found) / cpu_s)


def _first_number(content: Any) -> float:
    """Of positions, or of a picture's bytes."""
    numbers = getattr(content, "position", None)
    if numbers is None:
        numbers = content.data
    return numbers[0]
