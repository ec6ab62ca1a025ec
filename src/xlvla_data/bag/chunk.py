"""Messages on their way into a chunk of an MCAP file.

A chunk's records are one LZ4 frame. Its blocks are compressed, but for pictures, which are
compressed already: those blocks are the messages' own bytes, copied by the kernel only.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import lz4.block
import lz4.frame
from mcap.opcode import Opcode
from mcap.records import ChunkIndex

Bytes = bytes | memoryview

MESSAGE = struct.Struct("<BQHIQQ")
"""What precedes a message's data: opcode, length, channel, sequence, log time, publish time."""

RECORD_HEAD_BYTES = 9
"""Of a record's opcode and length."""

MESSAGE_FIELDS = MESSAGE.size - RECORD_HEAD_BYTES
"""Bytes of a message record before its data, without opcode and length."""

COMPRESSION = b"lz4"

_CHUNK = struct.Struct(f"<BQQQQII{len(COMPRESSION)}sQ")
"""What precedes a chunk's packed records: opcode, length, first and last log time, unpacked size,
checksum, compression with the length of its name, packed size.
"""

_INDEX = struct.Struct("<BQHI")
"""What precedes the entries of a message index: opcode, length, channel, bytes of the entries."""

_ENTRY_BYTES = 16
"""Of a message's log time and place in a message index."""

COMPRESSED_TYPES = {"sensor_msgs/msg/CompressedImage"}
"""Types whose messages LZ4 makes no smaller."""

LEAST_STORED_BYTES = 4096
"""A smaller message is compressed with its neighbours, whatever its type."""

_FRAME_HEAD = lz4.frame.LZ4FrameCompressor(
    block_size=lz4.frame.BLOCKSIZE_MAX4MB, block_linked=False
).begin()
_BLOCK_SIZE = struct.Struct("<I")
_MOST_BLOCK_BYTES = 4 << 20
_STORED = 1 << 31
"""Marks the size of a block that is not compressed."""
_FRAME_END = _BLOCK_SIZE.pack(0)


@dataclass(frozen=True)
class PackedChunk:
    """A chunk as it is written.

    Args:
        pieces: bytes of the chunk and of the indexes of its messages, one behind another.
        index: where it is, for the summary.
        counts: its messages by channel.
    """

    pieces: list[Bytes]
    index: ChunkIndex
    counts: dict[int, int]


class ChunkBuilder:
    """Collects the messages of one chunk after another in a buffer that it keeps: fresh memory
    costs more than all that is done in it.
    """

    def __init__(self) -> None:
        self._buffer = io.BytesIO()
        self._begin()

    def _begin(self) -> None:
        # Records, but for the data that is stored; what lies behind the last one is of old chunks
        self._buffer.seek(0)
        self._buffered = 0
        # Data that is stored, and how much of the buffer comes before it
        self._stored: list[tuple[int, bytes]] = []
        self._size = 0
        # By channel: log time, place, log time, place ...
        self._entries: dict[int, list[int]] = {}

    def add(
        self, channel: int, data: bytes, log_ns: int, sent_ns: int, sequence: int, stored: bool
    ) -> None:
        """Takes a serialised message; `stored`: it is not worth compressing, and must not change
        before the chunk is written.
        """
        length = len(data)
        head = MESSAGE.pack(
            Opcode.MESSAGE, MESSAGE_FIELDS + length, channel, sequence & 0xFFFFFFFF, log_ns, sent_ns
        )
        self._entries.setdefault(channel, []).extend((log_ns, self._size))
        self._size += MESSAGE.size + length
        self._buffer.write(head)
        self._buffered += MESSAGE.size
        if stored and length >= LEAST_STORED_BYTES:
            self._stored.append((self._buffered, data))
            return
        self._buffer.write(data)
        self._buffered += length

    def take(self, start: int) -> PackedChunk | None:
        """The messages since the last call as a chunk that begins at byte `start` of its file; None
        where there are none. Its pieces are valid until the next message.
        """
        if not self._entries:
            return None
        entries = self._entries
        size = self._size
        blocks, checksum = self._packed()
        self._begin()

        compressed_size = sum(map(len, blocks))
        head_fields = _CHUNK.size - RECORD_HEAD_BYTES
        first_ns = min(min(numbers[::2]) for numbers in entries.values())
        last_ns = max(max(numbers[::2]) for numbers in entries.values())
        head = _CHUNK.pack(
            Opcode.CHUNK,
            head_fields + compressed_size,
            first_ns,
            last_ns,
            size,
            checksum,
            len(COMPRESSION),
            COMPRESSION,
            compressed_size,
        )
        chunk_length = len(head) + compressed_size
        at = start + chunk_length
        indexes: list[Bytes] = []
        offsets: dict[int, int] = {}
        for channel, numbers in entries.items():
            index = _message_index(channel, numbers)
            offsets[channel] = at
            at += len(index)
            indexes.append(index)
        chunk_index = ChunkIndex(
            chunk_length=chunk_length,
            chunk_start_offset=start,
            compression=COMPRESSION.decode(),
            compressed_size=compressed_size,
            message_start_time=first_ns,
            message_end_time=last_ns,
            message_index_length=at - start - chunk_length,
            message_index_offsets=offsets,
            uncompressed_size=size,
        )
        counts = {channel: len(numbers) // 2 for channel, numbers in entries.items()}
        return PackedChunk([head, *blocks, *indexes], chunk_index, counts)

    def _packed(self) -> tuple[list[Bytes], int]:
        """All records as an LZ4 frame, and the checksum of the unpacked ones."""
        pieces: list[Bytes] = [_FRAME_HEAD]
        checksum = 0
        begin = 0
        # The buffer cannot grow while it is looked at: no look at it outlives this function
        buffer = self._buffer.getbuffer()
        for end, data in [*self._stored, (self._buffered, b"")]:
            run = buffer[begin:end]
            checksum = zlib.crc32(data, zlib.crc32(run, checksum))
            for part in _parts(run):
                pieces += _compressed_block(part)
            for part in _parts(memoryview(data)):
                pieces += _stored_block(part)
            begin = end
        pieces.append(_FRAME_END)
        return pieces, checksum


def _compressed_block(data: memoryview) -> tuple[bytes, Bytes]:
    packed = lz4.block.compress(data, store_size=False)
    if len(packed) < len(data):
        return _BLOCK_SIZE.pack(len(packed)), packed
    return _stored_block(bytes(data))


def _stored_block(data: Bytes) -> tuple[bytes, Bytes]:
    return _BLOCK_SIZE.pack(len(data) | _STORED), data


def _parts(data: memoryview) -> Iterator[memoryview]:
    """The data in pieces that fit into a block."""
    for begin in range(0, len(data), _MOST_BLOCK_BYTES):
        yield data[begin : begin + _MOST_BLOCK_BYTES]


def _message_index(channel: int, numbers: list[int]) -> bytes:
    """The index of a channel's messages in a chunk, by log time."""
    times = numbers[::2]
    ordered = sorted(times)
    if times != ordered:
        pairs = sorted(zip(times, numbers[1::2], strict=True))
        numbers = [number for pair in pairs for number in pair]
    size = len(times) * _ENTRY_BYTES
    head_fields = _INDEX.size - RECORD_HEAD_BYTES
    head = _INDEX.pack(Opcode.MESSAGE_INDEX, head_fields + size, channel, size)
    return head + struct.pack(f"<{len(numbers)}Q", *numbers)
