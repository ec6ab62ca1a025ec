"""Goes through an MCAP file from its beginning to its end, or to where it was torn off."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Footer, Schema
from mcap.stream_reader import get_chunk_data_stream

from xlvla.errors import XlvlaError
from xlvla_data.bag.layout import BagTopic
from xlvla_data.bag.mcap_file import MAGIC, MESSAGE

_RECORD = struct.Struct("<BQ")


@dataclass
class Found:
    """What a scan has seen so far.

    Attributes:
        topics: by channel.
        closed: the summary at the end is there.
    """

    topics: dict[int, BagTopic] = field(default_factory=dict[int, BagTopic])
    closed: bool = False
    _schemas: dict[int, Schema] = field(default_factory=dict[int, Schema])

    def see(self, opcode: int, body: bytes) -> None:
        stream = ReadDataStream(BytesIO(body))
        if opcode == Opcode.SCHEMA:
            schema = Schema.read(stream)
            self._schemas[schema.id] = schema
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(stream)
            schema = self._schemas[channel.schema_id]
            told = channel.metadata.get("topic_type_hash", ""), channel.metadata.get("offered_qos_profiles", "")
            self.topics[channel.id] = BagTopic(channel.topic, schema.name, schema.data.decode(), *told)
        elif opcode == Opcode.FOOTER:
            self.closed = Footer.read(stream).summary_start > 0


@dataclass(frozen=True)
class Raw:
    """A serialised message: when it came, when it was sent [ns]."""

    topic: str
    data: bytes
    log_ns: int
    sent_ns: int
    sequence: int


def opened(path: Path) -> BinaryIO:
    file = path.open("rb")
    if file.read(len(MAGIC)) != MAGIC:
        file.close()
        raise XlvlaError(f"{path} is no MCAP file")
    return file


def look(path: Path) -> Found:
    """The topics of a file; as far as its first chunk, and at its end."""
    found = Found()
    with opened(path) as file:
        for opcode, body in _records(file):
            if opcode == Opcode.CHUNK:
                break
            found.see(opcode, body)
        size = path.stat().st_size
        file.seek(max(size - len(MAGIC), 0))
        found.closed = size > 2 * len(MAGIC) and file.read() == MAGIC
    return found


def messages(path: Path) -> Iterator[list[Raw]]:
    """The messages of every whole chunk, in the order they came."""
    found = Found()
    with opened(path) as file:
        for opcode, body in _records(file):
            if opcode == Opcode.DATA_END:
                return
            if opcode != Opcode.CHUNK:
                found.see(opcode, body)
            elif (data := _unpacked(body)) is None:
                return
            else:
                yield sorted(_in_chunk(data, found), key=lambda raw: raw.log_ns)


def _records(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Opcode and contents of every whole record; a file may end in zeros after a loss of power."""
    size = os.fstat(file.fileno()).st_size
    while len(head := file.read(_RECORD.size)) == _RECORD.size:
        opcode, length = _RECORD.unpack(head)
        if not opcode or file.tell() + length > size:
            return
        yield opcode, file.read(length)


def _unpacked(body: bytes) -> bytes | None:
    """A chunk's records; None where it is damaged."""
    try:
        stream, size = get_chunk_data_stream(Chunk.read(ReadDataStream(BytesIO(body))), validate_crc=True)
        return stream.read(size)
    except Exception:  # each way of compression has errors of its own
        return None


def _in_chunk(data: bytes, found: Found) -> Iterator[Raw]:
    at = 0
    while at < len(data):
        opcode, length = _RECORD.unpack_from(data, at)
        end = at + _RECORD.size + length
        if opcode == Opcode.MESSAGE:
            _, _, channel, sequence, log_ns, sent_ns = MESSAGE.unpack_from(data, at)
            yield Raw(found.topics[channel].name, data[at + MESSAGE.size : end], log_ns, sent_ns, sequence)
        else:
            found.see(opcode, data[at + _RECORD.size : end])
        at = end
