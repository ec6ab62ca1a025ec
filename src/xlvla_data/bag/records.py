"""The records of an MCAP file, past what is damaged in it."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from typing import BinaryIO

from mcap.opcode import Opcode

from xlvla_data.bag.chunk import MESSAGE_FIELDS
from xlvla_data.bag.mcap_file import MAGIC

HEAD = struct.Struct("<BQ")
"""Precedes a record's contents: opcode and length."""

CHUNK_HEAD = struct.Struct("<QQQII")
"""A chunk's beginning: first and last log time, unpacked size, checksum, length of the name of the
compression.
"""

PACKED_SIZE = struct.Struct("<Q")
"""Precedes a chunk's packed records, behind the name of the compression."""

PRIVATE = 0x80
"""Opcodes from here on are free for every writer."""

MOST_BYTES = 1 << 32
"""No record is so long."""

IN_A_ROW = 3
"""This many records in a row are no coincidence."""

BLOCK = 1 << 24
"""Bytes that are searched at once."""

LONGEST_COMPRESSION_NAME = len("zstd")

_LENGTHS = {Opcode.FOOTER: 20, Opcode.DATA_END: 4}
"""Bytes of records whose length is fixed."""

_ENDS = (Opcode.DATA_END, Opcode.FOOTER)
_CANDIDATE = re.compile(rb"(?=[\x03-\x0f].{4}\x00{4})", re.DOTALL)
"""Where a record may begin; the look-ahead finds candidates inside one another, too."""


class Records:
    """Goes through the records up to the end of the data.

    Where there is no record, it looks for the next place where records follow each other.

    Attributes:
        skipped: first byte and end of every stretch that was no record.
        wrong_lengths: where chunks begin that are read although their length is wrong.
        torn: from where on there is no record; None where the file ends with a record, or with
            zeros, as a loss of power leaves them.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self._size = os.fstat(file.fileno()).st_size
        self.skipped: list[tuple[int, int]] = []
        self.wrong_lengths: list[int] = []
        self.torn: int | None = None

    def from_(self, at: int) -> Iterator[tuple[int, bytes]]:
        """Opcode and contents of every record from this byte on."""
        while at < self._size:
            head = self._head(at)
            if head is None:
                following = self._next(at)
                if following is None:
                    self._end(at)
                    return
                self.skipped.append((at, following))
                at = following
                continue
            opcode, end = head
            if self._length_is_wrong(at, opcode, end):
                following = self._next(at)
                # `_length_is_wrong` found one before `end`
                assert following is not None
                self.skipped.append((at, following))
                at = following
                continue
            self._file.seek(at)
            _, stated = HEAD.unpack(self._file.read(HEAD.size))
            length = end - at - HEAD.size
            if stated != length:
                self.wrong_lengths.append(at)
            yield opcode, self._file.read(length)
            if opcode in _ENDS:
                return
            at = end

    def _head(self, at: int) -> tuple[int, int] | None:
        """Opcode and end of the record that begins here; None where none can."""
        self._file.seek(at)
        head = self._file.read(HEAD.size)
        if len(head) < HEAD.size:
            return None
        opcode, length = HEAD.unpack(head)
        end = at + HEAD.size + length
        known = 0 < opcode <= Opcode.DATA_END
        private = opcode >= PRIVATE
        if not (known or private) or length != _LENGTHS.get(opcode, length):
            return None
        if opcode != Opcode.CHUNK and (length >= MOST_BYTES or end > self._size):
            return None
        if opcode == Opcode.MESSAGE and length < MESSAGE_FIELDS:
            return None
        if opcode == Opcode.CHUNK:
            inner = self._end_of_chunk(at + HEAD.size)
            if inner is None or (inner != end and self._head(inner) is None):
                return None
            # Where the two lengths do not agree, it is the one behind which records go on
            end = inner
        return opcode, end

    def _end_of_chunk(self, at: int) -> int | None:
        """Where the chunk whose contents begin here ends by the lengths inside it; None where that
        is beyond the file.
        """
        head = self._file.read(CHUNK_HEAD.size)
        if len(head) < CHUNK_HEAD.size:
            return None
        *_, name_length = CHUNK_HEAD.unpack(head)
        if name_length > LONGEST_COMPRESSION_NAME:
            return None
        self._file.seek(name_length, os.SEEK_CUR)
        packed_size = self._file.read(PACKED_SIZE.size)
        if len(packed_size) < PACKED_SIZE.size:
            return None
        (length,) = PACKED_SIZE.unpack(packed_size)
        end = at + CHUNK_HEAD.size + name_length + PACKED_SIZE.size + length
        if end > self._size:
            return None
        return end

    def _length_is_wrong(self, at: int, opcode: int, end: int) -> bool:
        """Whether records go on inside this one and not after it."""
        if opcode in (Opcode.CHUNK, *_ENDS):
            return False
        if end == self._size or self._head(end) is not None:
            return False
        following = self._next(at)
        return following is not None and following < end

    def _next(self, at: int) -> int | None:
        """The first place after this one where records follow each other."""
        at += 1
        while at < self._size:
            self._file.seek(at)
            block = self._file.read(BLOCK)
            for match in _CANDIDATE.finditer(block):
                if self._follows(at + match.start()):
                    return at + match.start()
            # A head may lie across two blocks
            at += max(len(block) - HEAD.size + 1, 1)
        return None

    def _follows(self, at: int) -> bool:
        """Whether records follow each other from here on, or to the end; a chunk is enough, since
        its lengths agree.
        """
        for _ in range(IN_A_ROW):
            head = self._head(at)
            if head is None or head[0] >= PRIVATE:
                return False
            opcode, at = head
            if opcode == Opcode.CHUNK or at == self._size:
                return True
            if opcode == Opcode.FOOTER:
                return at == self._size - len(MAGIC)
        return True

    def _end(self, at: int) -> None:
        """Notes that the file is torn here, unless only zeros follow."""
        self._file.seek(at)
        while block := self._file.read(BLOCK):
            if block.strip(b"\0"):
                self.torn = at
                return
