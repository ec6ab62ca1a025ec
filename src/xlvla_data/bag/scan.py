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
from operator import attrgetter
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, Footer, Header, Schema, Statistics

from xlvla_data.bag.layout import MESSAGE_ENCODING, SCHEMA_ENCODING, BagTopic
from xlvla_data.bag.mcap_file import LIBRARY, MAGIC
from xlvla_data.bag.records import HEAD, Records
from xlvla_data.bag.unpack import keep_freed_memory, opened, unpacked

FOOTER_BYTES = HEAD.size + 20
CRC_BYTES = 4
LOOSE = 1000
"""Messages outside chunks are yielded together, this many at once."""

_MESSAGE = int(Opcode.MESSAGE)
_FIELDS = struct.Struct("<HIQQ")
"""Precedes a message's data in its record: channel, sequence, log time, publish time."""

_MISREAD = (McapError, struct.error, UnicodeDecodeError)


class Raw(NamedTuple):
    """A serialised message, which came at `log_ns` and was sent at `sent_ns`."""

    topic: str
    data: bytes
    log_ns: int
    sent_ns: int
    sequence: int


@dataclass
class Contents:
    """A file's topics and state.

    Attributes:
        topics: by channel; of two descriptions of one channel the first counts.
        library: who wrote it.
        closed: it ends as an MCAP file does.
        expected: messages by its summary; None where there is no summary that can be trusted.
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
        """Whether our recorder wrote it, which describes all topics before the first message."""
        return self.library == LIBRARY

    @property
    def foreign_encodings(self) -> set[str]:
        """Encodings that our writer does not write."""
        return self.encodings - {MESSAGE_ENCODING, SCHEMA_ENCODING}

    def see(self, opcode: int, body: bytes) -> str:
        """Takes a record; returns what is wrong with it, '' where nothing is."""
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
        # Raises where it is no text
        schema.data.decode()
        known = self._schemas.setdefault(schema.id, schema)
        self.encodings.add(schema.encoding)
        if known != schema:
            return f"the type {schema.name} is declared twice, differently"
        return ""

    def _see_channel(self, channel: Channel) -> str:
        schema = self._schemas.get(channel.schema_id)
        if schema is None:
            return f"the type of {channel.topic} is not declared"
        self.encodings.add(channel.message_encoding)
        topic = BagTopic(
            name=channel.topic,
            type=schema.name,
            definition=schema.data.decode(),
            type_hash=channel.metadata.get("topic_type_hash", ""),
            qos=channel.metadata.get("offered_qos_profiles", ""),
        )
        known = self.topics.setdefault(channel.id, topic)
        if known != topic:
            return f"{channel.topic} is declared twice, differently"
        return ""


@dataclass
class Losses:
    """What of a file could not be read.

    Attributes:
        faults: what is damaged, and how often.
        torn: the file ends in the midst of a record.
    """

    faults: Counter[str] = field(default_factory=Counter[str])
    torn: bool = False

    @property
    def lines(self) -> list[str]:
        """The faults, a line each; a new list."""
        lines: list[str] = []
        for fault, count in self.faults.items():
            lines.append(f"{fault} ({count} times)" if count > 1 else fault)
        return lines


def look(path: Path) -> Contents:
    """A file's topics and state: from its summary, else from its beginning; a file of another
    writer without a summary is read to its end.
    """
    contents = Contents()
    with opened(path) as file:
        opcode, body = next(Records(file).from_(len(MAGIC)), (None, b""))
        if opcode == Opcode.HEADER:
            contents.see(opcode, body)
        _see_summary(file, contents)
        if not contents.topics:
            _see_records(file, contents)
    return contents


def _see_records(file: BinaryIO, contents: Contents) -> None:
    """Takes the topics from the records themselves."""
    for opcode, body in Records(file).from_(len(MAGIC)):
        if opcode != Opcode.CHUNK:
            contents.see(opcode, body)
            continue
        if contents.own:
            return
        data = unpacked(body)
        if data is not None:
            # Other writers describe topics inside chunks; the messages are not wanted here
            _in_chunk(data, contents, Counter())


def messages(path: Path, contents: Contents, losses: Losses) -> Iterator[list[Raw]]:
    """The messages of every whole chunk, in the order they came, and those outside chunks; what
    cannot be read is noted in `losses`.
    """
    count = 0
    keep_freed_memory()
    with opened(path) as file:
        records = Records(file)
        for group in _groups(records, contents, losses.faults):
            count += len(group)
            yield sorted(group, key=attrgetter("log_ns"))
        for begin, end in records.skipped:
            losses.faults[f"bytes {begin} to {end} are no records"] += 1
        for at in records.wrong_lengths:
            losses.faults[f"the length of a chunk at byte {at} is wrong"] += 1
        losses.torn = records.torn is not None
        if losses.torn and contents.closed:
            losses.faults[f"nothing can be read from byte {records.torn} on"] += 1
    if contents.expected is not None and contents.expected != count:
        losses.faults[f"{count} of {contents.expected} messages can be read"] += 1


def _groups(records: Records, contents: Contents, faults: Counter[str]) -> Iterator[list[Raw]]:
    """The messages of each chunk, with those outside chunks before it."""
    group: list[Raw] = []
    for opcode, body in records.from_(len(MAGIC)):
        if opcode == Opcode.MESSAGE:
            _take_message(body, 0, len(body), contents, faults, group)
            if len(group) < LOOSE:
                continue
        elif opcode == Opcode.CHUNK:
            data = unpacked(body)
            if data is None:
                faults["a chunk of messages is damaged"] += 1
            else:
                group += _in_chunk(data, contents, faults)
        else:
            fault = contents.see(opcode, body)
            if fault:
                faults[fault] += 1
            continue
        yield group
        group = []
    yield group


def _see_summary(file: BinaryIO, contents: Contents) -> None:
    """Topics and counts of the summary at the end, where there is one whose checksum is right."""
    size = os.fstat(file.fileno()).st_size
    footer_at = size - len(MAGIC) - FOOTER_BYTES
    if footer_at < len(MAGIC):
        return
    file.seek(footer_at)
    end = file.read()
    opcode, length = HEAD.unpack_from(end)
    is_footer = opcode == Opcode.FOOTER and length == FOOTER_BYTES - HEAD.size
    contents.closed = is_footer and end.endswith(MAGIC)
    if not contents.closed:
        return
    footer = Footer.read(ReadDataStream(io.BytesIO(end[HEAD.size :])))
    if not footer.summary_crc or not len(MAGIC) < footer.summary_start < footer_at:
        return
    # The checksum covers the summary and the footer up to the checksum itself
    checksum_at = footer_at + FOOTER_BYTES - CRC_BYTES
    file.seek(footer.summary_start)
    summary = file.read(checksum_at - footer.summary_start)
    if zlib.crc32(summary) != footer.summary_crc:
        return
    for kind, body in Records(file).from_(footer.summary_start):
        if kind != Opcode.STATISTICS:
            contents.see(kind, body)
            continue
        with suppress(*_MISREAD):
            contents.expected = Statistics.read(ReadDataStream(io.BytesIO(body))).message_count


def _in_chunk(data: bytes, contents: Contents, faults: Counter[str]) -> list[Raw]:
    """The messages of an unpacked chunk."""
    found: list[Raw] = []
    at = 0
    size = len(data)
    while at < size:
        if at + HEAD.size > size:
            faults["a chunk ends in the midst of a record"] += 1
            break
        opcode, length = HEAD.unpack_from(data, at)
        begin = at + HEAD.size
        at = begin + length
        if at > size:
            faults["a chunk ends in the midst of a record"] += 1
        elif opcode == _MESSAGE:
            _take_message(data, begin, at, contents, faults, found)
        else:
            fault = contents.see(opcode, data[begin:at])
            if fault:
                faults[fault] += 1
    return found


def _take_message(
    data: bytes,
    begin: int,
    end: int,
    contents: Contents,
    faults: Counter[str],
    found: list[Raw],
) -> None:
    """Adds the message between these bytes to those found, unless its channel is unknown."""
    data_begin = begin + _FIELDS.size
    if end < data_begin:
        faults["a message is too short"] += 1
        return
    channel, sequence, log_ns, sent_ns = _FIELDS.unpack_from(data, begin)
    topic = contents.topics.get(channel)
    if topic is None:
        faults[f"a message is of channel {channel}, which is not declared"] += 1
        return
    found.append(Raw(topic.name, data[data_begin:end], log_ns, sent_ns, sequence))
