"""Scans an MCAP file of any writer from beginning to end, past damaged records."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Footer, Header, Schema, Statistics

from xlvla_data.bag.layout import MESSAGE_ENCODING, SCHEMA_ENCODING, BagTopic
from xlvla_data.bag.mcap_file import LIBRARY, MAGIC
from xlvla_data.bag.records import HEAD, Records
from xlvla_data.bag.unpack import opened, unpacked

FOOTER_BYTES = HEAD.size + 20
LOOSE = 1000
"""So many messages outside chunks are handed on at once."""

_FIELDS = struct.Struct("<HIQQ")
"""What precedes a message's data in its record."""

_MISREAD = (McapError, struct.error, UnicodeDecodeError)


@dataclass(frozen=True)
class Raw:
    """A serialised message: when it came, when it was sent [ns]."""

    topic: str
    data: bytes
    log_ns: int
    sent_ns: int
    sequence: int


@dataclass
class Contents:
    """What a file says of itself.

    Attributes:
        topics: by channel. What is told first counts.
        library: who wrote it.
        closed: it ends as an MCAP file does.
        expected: how many messages its summary counts; None where it has none that can be trusted.
        encodings: of its messages and schemas.
    """

    topics: dict[int, BagTopic] = field(default_factory=dict[int, BagTopic])
    library: str = ""
    closed: bool = False
    expected: int | None = None
    encodings: set[str] = field(default_factory=set[str])
    _schemas: dict[int, Schema] = field(default_factory=dict[int, Schema])

    @property
    def own(self) -> bool:
        """Whether our recorder wrote it, which tells all topics before the first message."""
        return self.library == LIBRARY

    @property
    def foreign_encodings(self) -> set[str]:
        """Encodings that our writer does not write."""
        return self.encodings - {MESSAGE_ENCODING, SCHEMA_ENCODING}

    def see(self, opcode: int, body: bytes) -> str:
        """Takes what a record says; what is wrong with it, '' for nothing."""
        stream = ReadDataStream(io.BytesIO(body))
        try:
            if opcode == Opcode.HEADER:
                self.library = Header.read(stream).library
            elif opcode == Opcode.SCHEMA:
                return self._see_schema(Schema.read(stream))
            elif opcode == Opcode.CHANNEL:
                return self._see_channel(Channel.read(stream))
        except _MISREAD:
            return f"a {Opcode(opcode).name.lower()} cannot be read"
        return ""

    def _see_schema(self, schema: Schema) -> str:
        schema.data.decode()
        known = self._schemas.setdefault(schema.id, schema)
        self.encodings.add(schema.encoding)
        return "" if known == schema else f"the type {schema.name} is told twice, differently"

    def _see_channel(self, channel: Channel) -> str:
        schema = self._schemas.get(channel.schema_id)
        if schema is None:
            return f"the type of {channel.topic} is not told"
        self.encodings.add(channel.message_encoding)
        described = (
            channel.metadata.get("topic_type_hash", ""),
            channel.metadata.get("offered_qos_profiles", ""),
        )
        topic = BagTopic(channel.topic, schema.name, schema.data.decode(), *described)
        known = self.topics.setdefault(channel.id, topic)
        return "" if known == topic else f"{channel.topic} is told twice, differently"


@dataclass
class Losses:
    """What of a file was not understood.

    Attributes:
        faults: what is damaged, how often.
        torn: it ends in the midst of a record, and nothing comes after that.
    """

    faults: Counter[str] = field(default_factory=Counter[str])
    torn: bool = False

    @property
    def lines(self) -> list[str]:
        return [
            f"{line} ({count} times)" if count > 1 else line for line, count in self.faults.items()
        ]


def look(path: Path) -> Contents:
    """What a file says of itself: by its summary, else by its beginning, and where others wrote it
    all of it is gone through.
    """
    contents = Contents()
    with opened(path) as file:
        for opcode, body in Records(file).from_(len(MAGIC)):
            if opcode == Opcode.HEADER:
                contents.see(opcode, body)
            break
        _see_summary(file, contents)
        if contents.topics:
            return contents
        for opcode, body in Records(file).from_(len(MAGIC)):
            if opcode != Opcode.CHUNK:
                contents.see(opcode, body)
            elif contents.own:
                break
            elif (data := unpacked(body)) is not None:
                for _ in _in_chunk(data, contents, Counter()):
                    pass
    return contents


def messages(path: Path, contents: Contents, losses: Losses) -> Iterator[list[Raw]]:
    """The messages of every whole chunk, in the order they came, and those outside chunks; what is
    not read is told to `losses`.
    """
    loose: list[Raw] = []
    count = 0
    with opened(path) as file:
        records = Records(file)
        for opcode, body in records.from_(len(MAGIC)):
            if opcode == Opcode.MESSAGE:
                loose += _message(body, 0, len(body), contents, losses.faults)
                if len(loose) < LOOSE:
                    continue
            elif opcode != Opcode.CHUNK:
                if fault := contents.see(opcode, body):
                    losses.faults[fault] += 1
                continue
            elif (data := unpacked(body)) is None:
                losses.faults["a chunk of messages is damaged"] += 1
            else:
                loose += _in_chunk(data, contents, losses.faults)
            count += len(loose)
            yield sorted(loose, key=lambda raw: raw.log_ns)
            loose = []
        count += len(loose)
        yield sorted(loose, key=lambda raw: raw.log_ns)
        losses.faults.update(
            f"bytes {begin} to {end} are no records" for begin, end in records.skipped
        )
        losses.faults.update(
            f"the length of a chunk at byte {at} is wrong" for at in records.wrong_lengths
        )
        losses.torn = records.torn is not None
        if losses.torn and contents.closed:
            losses.faults[f"nothing can be read from byte {records.torn} on"] += 1
    if contents.expected not in (None, count):
        losses.faults[f"{count} of {contents.expected} messages can be read"] += 1


def _see_summary(file: BinaryIO, contents: Contents) -> None:
    """Topics and counts of the summary at the end, where there is one whose checksum is right."""
    size = os.fstat(file.fileno()).st_size
    at = size - len(MAGIC) - FOOTER_BYTES
    if at < len(MAGIC):
        return
    file.seek(at)
    end = file.read()
    opcode, length = HEAD.unpack_from(end)
    contents.closed = end.endswith(MAGIC) and (opcode, length) == (
        Opcode.FOOTER,
        FOOTER_BYTES - HEAD.size,
    )
    if not contents.closed:
        return
    footer = Footer.read(ReadDataStream(io.BytesIO(end[HEAD.size :])))
    if not footer.summary_crc or not len(MAGIC) < footer.summary_start < at:
        return
    file.seek(footer.summary_start)
    summary = file.read(at + FOOTER_BYTES - 4 - footer.summary_start)
    if zlib.crc32(summary) != footer.summary_crc:
        return
    for kind, body in Records(file).from_(footer.summary_start):
        if kind != Opcode.STATISTICS:
            contents.see(kind, body)
            continue
        with suppress(*_MISREAD):
            contents.expected = Statistics.read(ReadDataStream(io.BytesIO(body))).message_count


def _in_chunk(data: bytes, contents: Contents, faults: Counter[str]) -> Iterator[Raw]:
    at = 0
    while at < len(data):
        if at + HEAD.size > len(data):
            faults["a chunk ends in the midst of a record"] += 1
            return
        opcode, length = HEAD.unpack_from(data, at)
        begin = at + HEAD.size
        at = begin + length
        if at > len(data):
            faults["a chunk ends in the midst of a record"] += 1
        elif opcode == Opcode.MESSAGE:
            yield from _message(data, begin, at, contents, faults)
        elif fault := contents.see(opcode, data[begin:at]):
            faults[fault] += 1


def _message(
    data: bytes, begin: int, end: int, contents: Contents, faults: Counter[str]
) -> Iterator[Raw]:
    """The message between these bytes, unless nothing says what it is."""
    if end - begin < _FIELDS.size:
        faults["a message is too short"] += 1
        return
    channel, sequence, log_ns, sent_ns = _FIELDS.unpack_from(data, begin)
    topic = contents.topics.get(channel)
    if topic is None:
        faults[f"a message is of channel {channel}, which is not told"] += 1
        return
    yield Raw(topic.name, data[begin + _FIELDS.size : end], log_ns, sent_ns, sequence)
