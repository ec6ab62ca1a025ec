"""An MCAP file that is complete up to its last flush, even if its writer is killed."""

from __future__ import annotations

import os
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from mcap.data_stream import RecordBuilder
from mcap.records import (
    Channel,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

from xlvla_data.bag.chunk import COMPRESSED_TYPES, Bytes, ChunkBuilder
from xlvla_data.bag.layout import MESSAGE_ENCODING, PROFILE, SCHEMA_ENCODING, BagTopic

MAGIC = b"\x89MCAP0\r\n"
LIBRARY = "xlvla"
"""The writer's name in a file's header."""

MOST_PIECES = os.sysconf("SC_IOV_MAX")
"""Pieces that the kernel takes at once."""

_CRC = struct.Struct("<I")
"""The checksum at the end of a footer."""


class McapFile:
    """Writes messages of topics that are known from the start; for one thread.

    A chunk is written in one go and forced to the disk. If that fails the file is cut back to where
    it was, so it stays whole and can still be closed.

    Args:
        forced: False leaves it to the system when what was written reaches the disk: for a file
            that is of use only as a whole.

    Attributes:
        end: bytes that are safe.
    """

    def __init__(self, path: Path, topics: Sequence[BagTopic], *, forced: bool = True):
        self._file = path.open("xb", buffering=0)
        self._forced = forced
        self._ids = {topic.name: number for number, topic in enumerate(topics, 1)}
        self._stored = {topic.name for topic in topics if topic.type in COMPRESSED_TYPES}
        self._schemas, self._channels = _describe(topics)
        # Of the chunks written: where they are, and their messages by channel
        self._chunks: list[tuple[ChunkIndex, dict[int, int]]] = []
        self._pending = ChunkBuilder()
        self.end = 0
        beginning = _bytes(Header(PROFILE, LIBRARY), *self._schemas, *self._channels)
        self._append([MAGIC, beginning])

    @property
    def counts(self) -> dict[str, int]:
        """Messages written, by topic."""
        written = self._written()
        return {topic: written[number] for topic, number in self._ids.items()}

    @property
    def span_ns(self) -> tuple[int, int]:
        """Log times of the first and the last message written; zeros where there is none."""
        indexes = [index for index, _ in self._chunks]
        first = min((index.message_start_time for index in indexes), default=0)
        last = max((index.message_end_time for index in indexes), default=0)
        return first, last

    def fileno(self) -> int:
        return self._file.fileno()

    def add(self, topic: str, data: bytes, log_ns: int, sent_ns: int, sequence: int = 0) -> None:
        """Takes a serialised message, which came at `log_ns` and was sent at `sent_ns`; a flush
        writes it.
        """
        stored = topic in self._stored
        self._pending.add(self._ids[topic], data, log_ns, sent_ns, sequence, stored)

    def flush(self) -> None:
        """Writes what was added to the disk, as a chunk and the index of its messages.

        Raises:
            OSError: it cannot be written; what was added since the last flush is lost.
        """
        chunk = self._pending.take(self.end)
        if chunk is not None:
            self._append(chunk.pieces)
            self._chunks.append((chunk.index, chunk.counts))

    def close(self, notes: Callable[[], Metadata]) -> None:
        """Writes the summary that makes a bag quick to open, with `notes` on what is in it; without
        a flush what was added is lost.

        Where there is no space for it, the last chunks are dropped.

        Raises:
            OSError: not even that makes enough space.
        """
        try:
            while not self._ended(notes):
                self._drop_chunk()
        finally:
            self._file.close()

    def _ended(self, notes: Callable[[], Metadata]) -> bool:
        """Writes the summary; False where there is no space and a chunk can be dropped."""
        try:
            self._append([self._ending(notes())])
        except OSError:
            if not self._chunks:
                raise
            return False
        return True

    def _drop_chunk(self) -> None:
        index, _ = self._chunks.pop()
        self.end = index.chunk_start_offset
        self._cut()

    def _written(self) -> Counter[int]:
        """Messages written, by channel."""
        written = Counter[int]()
        for _, counts in self._chunks:
            written.update(counts)
        return written

    def _append(self, pieces: Sequence[Bytes]) -> None:
        """Forces bytes to the disk; cuts the file back where they do not fit."""
        try:
            self._write(pieces)
            if self._forced:
                os.fsync(self._file.fileno())
        except OSError:
            self._cut()
            raise
        self.end += sum(map(len, pieces))

    def _write(self, pieces: Sequence[Bytes]) -> None:
        """Writes the pieces one behind another, without copying them together."""
        left = [memoryview(piece) for piece in pieces]
        while left:
            written = os.writev(self._file.fileno(), left[:MOST_PIECES])
            left = left_of(left, written)

    def _cut(self) -> None:
        self._file.truncate(self.end)
        self._file.seek(self.end)

    def _ending(self, notes: Metadata) -> bytes:
        """Everything after the last chunk: notes, the end of the data, summary and footer."""
        notes_record = _bytes(notes)
        notes_index = MetadataIndex(self.end, len(notes_record), notes.name)
        data_end = _bytes(DataEnd(0))
        summary_start = self.end + len(notes_record) + len(data_end)

        # The summary: groups of records of one kind, then where each group begins
        groups: list[Sequence[McapRecord]] = [
            self._schemas,
            self._channels,
            [self._statistics()],
            [index for index, _ in self._chunks],
            [notes_index],
        ]
        summary = b""
        offsets: list[SummaryOffset] = []
        for group in groups:
            records = _bytes(*group)
            if records:
                opcode = records[0]
                group_start = summary_start + len(summary)
                offsets.append(SummaryOffset(opcode, group_start, len(records)))
            summary += records
        offsets_start = summary_start + len(summary)
        summary += _bytes(*offsets)

        # The checksum is of the summary and of the footer up to the checksum
        footer = _bytes(Footer(summary_start, offsets_start, 0))[: -_CRC.size]
        checksum = zlib.crc32(footer, zlib.crc32(summary))
        return notes_record + data_end + summary + footer + _CRC.pack(checksum) + MAGIC

    def _statistics(self) -> Statistics:
        written = self._written()
        first_ns, last_ns = self.span_ns
        return Statistics(
            attachment_count=0,
            channel_count=len(self._channels),
            channel_message_counts=dict(written),
            chunk_count=len(self._chunks),
            message_count=written.total(),
            message_end_time=last_ns,
            message_start_time=first_ns,
            metadata_count=1,
            schema_count=len(self._schemas),
        )


def left_of(pieces: Sequence[memoryview], written: int) -> list[memoryview]:
    """What is left of the pieces after so many bytes: the kernel may take a part of what it was
    given.
    """
    for number, piece in enumerate(pieces):
        if written < len(piece):
            return [piece[written:], *pieces[number + 1 :]]
        written -= len(piece)
    return []


def _describe(topics: Sequence[BagTopic]) -> tuple[list[Schema], list[Channel]]:
    """A schema for each type, and a channel for each topic, both numbered from 1."""
    definitions = {topic.type: topic.definition for topic in topics}
    schemas: list[Schema] = []
    schema_ids: dict[str, int] = {}
    for number, (kind, text) in enumerate(definitions.items(), 1):
        schemas.append(Schema(id=number, name=kind, encoding=SCHEMA_ENCODING, data=text.encode()))
        schema_ids[kind] = number
    channels: list[Channel] = []
    for number, topic in enumerate(topics, 1):
        channel = Channel(
            id=number,
            topic=topic.name,
            message_encoding=MESSAGE_ENCODING,
            metadata={"offered_qos_profiles": topic.qos, "topic_type_hash": topic.type_hash},
            schema_id=schema_ids[topic.type],
        )
        channels.append(channel)
    return schemas, channels


def _bytes(*records: McapRecord) -> bytes:
    builder = RecordBuilder()
    for record in records:
        record.write(builder)
    return builder.end()
