"""An MCAP file that is complete up to its last flush, even if its writer is killed."""

from __future__ import annotations

import os
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import lz4.frame
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    Chunk,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    MessageIndex,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

from xlvla_data.bag.layout import MESSAGE_ENCODING, PROFILE, SCHEMA_ENCODING, BagTopic

MAGIC = b"\x89MCAP0\r\n"
LIBRARY = "xlvla"
"""Who wrote a file, as its header says."""

MESSAGE = struct.Struct("<BQHIQQ")
"""What precedes a message's data: opcode, length, channel, sequence, log time, publish time."""

MESSAGE_FIELDS = MESSAGE.size - 9
"""Bytes of a message record before its data, without opcode and length."""


class McapFile:
    """Writes messages of topics that are known from the start; for one thread.

    A chunk is written in one go and forced to the disk. If that fails the file is cut back to where
    it was, so it stays whole and can still be closed.

    Attributes:
        end: bytes that are safe.
    """

    def __init__(self, path: Path, topics: Sequence[BagTopic]):
        self._file = path.open("xb", buffering=0)
        self._ids = {topic.name: number for number, topic in enumerate(topics, 1)}
        self._schemas, self._channels = _describe(topics)
        self._chunks: list[tuple[ChunkIndex, Counter[int]]] = []
        self.end = 0
        self._begin_chunk()
        self._append(MAGIC + _bytes(Header(PROFILE, LIBRARY), *self._schemas, *self._channels))

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
        return first, max((index.message_end_time for index in indexes), default=0)

    def fileno(self) -> int:
        return self._file.fileno()

    def add(self, topic: str, data: bytes, log_ns: int, sent_ns: int, sequence: int = 0) -> None:
        """Takes a serialised message, which came at `log_ns` and was sent at `sent_ns`; a flush
        writes it.
        """
        channel = self._ids[topic]
        self._index.setdefault(channel, []).append((log_ns, len(self._chunk)))
        self._chunk += MESSAGE.pack(
            Opcode.MESSAGE,
            MESSAGE_FIELDS + len(data),
            channel,
            sequence & 0xFFFFFFFF,
            log_ns,
            sent_ns,
        )
        self._chunk += data

    def flush(self) -> None:
        """Brings what was added to the disk; OSError where it cannot, and what was added since the
        last flush is lost.
        """
        chunk = bytes(self._chunk)
        index = self._index
        self._begin_chunk()
        if not index:
            return
        times = [log_ns for entries in index.values() for log_ns, _ in entries]
        data = lz4.frame.compress(chunk)
        record = Chunk("lz4", data, max(times), min(times), zlib.crc32(chunk), len(chunk))
        start = self.end
        made = RecordBuilder()
        record.write(made)
        length = made.count
        offsets = dict[int, int]()
        for channel, entries in index.items():
            offsets[channel] = start + made.count
            MessageIndex(channel, sorted(entries)).write(made)
        ends = (record.message_end_time, made.count - length, offsets, record.message_start_time)
        self._append(made.end())
        counts = Counter({channel: len(entries) for channel, entries in index.items()})
        self._chunks.append(
            (ChunkIndex(length, start, "lz4", len(data), *ends, len(chunk)), counts)
        )

    def close(self, notes: Callable[[], Metadata]) -> None:
        """Writes the summary that makes a bag quick to open, with `notes` on what is in it; without
        a flush what was added is lost.

        Where there is no room for it the last chunks make way. OSError where even that does not
        help.
        """
        try:
            while True:
                try:
                    return self._append(self._ending(notes()))
                except OSError:
                    if not self._chunks:
                        raise
                    self._drop_chunk()
        finally:
            self._file.close()

    def _drop_chunk(self) -> None:
        index, _ = self._chunks.pop()
        self.end = index.chunk_start_offset
        self._cut()

    def _written(self) -> Counter[int]:
        return sum((counts for _, counts in self._chunks), Counter[int]())

    def _begin_chunk(self) -> None:
        self._chunk = bytearray()
        self._index = dict[int, list[tuple[int, int]]]()

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[self._file.write(view) :]
            os.fsync(self._file.fileno())
        except OSError:
            self._cut()
            raise
        self.end += len(data)

    def _cut(self) -> None:
        self._file.truncate(self.end)
        self._file.seek(self.end)

    def _ending(self, notes: Metadata) -> bytes:
        """Everything after the last chunk."""
        before = _bytes(notes)
        indexed = [MetadataIndex(self.end, len(before), notes.name)]
        chunks = [index for index, _ in self._chunks]
        before += _bytes(DataEnd(0))
        start = self.end + len(before)
        offset = 0
        body = b""
        offsets = list[SummaryOffset]()
        for group in (self._schemas, self._channels, [self._statistics()], chunks, indexed):
            made = _bytes(*group)
            if made:
                offsets.append(SummaryOffset(made[0], start + offset, len(made)))
            body = body + made
            offset = offset + len(made)
        body += _bytes(*offsets)
        footer = _bytes(Footer(start, start + offset, 0))
        checksum = zlib.crc32(footer[:-4], zlib.crc32(body))
        return before + body + footer[:-4] + struct.pack("<I", checksum) + MAGIC

    def _statistics(self) -> Statistics:
        written, (first_ns, last_ns) = self._written(), self.span_ns
        sizes = {
            "schema_count": len(self._schemas),
            "channel_count": len(self._channels),
            "chunk_count": len(self._chunks),
        }
        times = {"message_start_time": first_ns, "message_end_time": last_ns}
        counts = {"message_count": written.total(), "channel_message_counts": dict(written)}
        return Statistics(attachment_count=0, metadata_count=1, **sizes, **times, **counts)


def _describe(topics: Sequence[BagTopic]) -> tuple[list[Schema], list[Channel]]:
    kinds = {topic.type: topic.definition for topic in topics}
    schemas = [
        Schema(number, text.encode(), SCHEMA_ENCODING, kind)
        for number, (kind, text) in enumerate(kinds.items(), 1)
    ]
    numbers = {schema.name: schema.id for schema in schemas}
    channels = [
        Channel(
            number,
            topic.name,
            MESSAGE_ENCODING,
            {"offered_qos_profiles": topic.qos, "topic_type_hash": topic.type_hash},
            numbers[topic.type],
        )
        for number, topic in enumerate(topics, 1)
    ]
    return schemas, channels


def _bytes(*records: McapRecord) -> bytes:
    made = RecordBuilder()
    for record in records:
        record.write(made)
    return made.end()
