"""Opens MCAP files and unpacks chunks and files, no further than the size they state."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import lz4.frame
import zstandard

from xlvla.errors import XlvlaError
from xlvla_data.bag.mcap_file import MAGIC
from xlvla_data.bag.parts import PACKED
from xlvla_data.bag.records import CHUNK_HEAD, PACKED_SIZE

MOST_UNPACKED = 1 << 30
"""Bytes of a chunk; one that states more is taken for damaged and not unpacked."""

_KEPT_BYTES = 16 << 20


def keep_freed_memory() -> None:
    """Lets glibc keep memory that is freed instead of giving it back and fetching it anew, page by
    page, for every chunk: it keeps as much as the largest block that was ever freed.
    """
    bytearray(_KEPT_BYTES)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """An MCAP file behind its magic, unpacked where it is compressed.

    Raises:
        XlvlaError: it cannot be read or is no MCAP file.
    """
    try:
        with path.open("rb") as packed, _unpacked_file(path, packed) as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise XlvlaError(f"{path} is no MCAP file")
            yield file
    except OSError as error:
        raise XlvlaError(f"{path} cannot be read: {error.strerror or error}") from None


@contextmanager
def _unpacked_file(path: Path, packed: BinaryIO) -> Iterator[BinaryIO]:
    if path.suffix not in PACKED:
        yield packed
        return
    # Its end is read first, so it has to be unpacked as a whole
    with tempfile.TemporaryFile() as file:
        try:
            zstandard.ZstdDecompressor().copy_stream(packed, file)
        except zstandard.ZstdError as error:
            raise XlvlaError(f"{path} cannot be unpacked: {error}") from None
        file.seek(0)
        yield cast(BinaryIO, file)


def unpacked(body: bytes) -> bytes | None:
    """A chunk's records; None where it is damaged. It is not unpacked beyond the size it states."""
    _, _, size, checksum, name_length = CHUNK_HEAD.unpack_from(body)
    name_end = CHUNK_HEAD.size + name_length
    name = body[CHUNK_HEAD.size : name_end]
    packed = memoryview(body)[name_end + PACKED_SIZE.size :]
    if size > MOST_UNPACKED:
        return None
    try:
        data = _decompressed(name, packed, size)
    # Each compression raises errors of its own
    except Exception:
        return None
    # Checksum 0 is none
    if len(data) != size or checksum not in (0, zlib.crc32(data)):
        return None
    return data


def _decompressed(name: bytes, packed: memoryview, size: int) -> bytes:
    """The data of a chunk; at most one byte more than `size`, which shows that it is longer."""
    if name == b"lz4":
        return lz4.frame.LZ4FrameDecompressor().decompress(packed, max_length=size + 1)
    if name == b"zstd":
        with zstandard.ZstdDecompressor().stream_reader(packed) as stream:
            return stream.read(size + 1)
    if name:
        raise ValueError(f"unknown compression {name!r}")
    return bytes(packed)
