"""Opens MCAP files and unpacks what is compressed, a chunk or a whole file, no further than it says
it goes.
"""

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
from xlvla_data.bag.records import CHUNK_HEAD

MOST_UNPACKED = 1 << 30
"""Bytes of a chunk; one that says it holds more is taken for damaged before it is unpacked."""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file to be read, unpacked where it is compressed; XlvlaError where it cannot be read or is
    no MCAP file.
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
    with (
        tempfile.TemporaryFile() as file
    ):  # its end is read first, so it has to be unpacked as a whole
        try:
            zstandard.ZstdDecompressor().copy_stream(packed, file)
        except zstandard.ZstdError as error:
            raise XlvlaError(f"{path} cannot be unpacked: {error}") from None
        file.seek(0)
        yield cast(BinaryIO, file)


def unpacked(body: bytes) -> bytes | None:
    """A chunk's records; None where it is damaged. It is not unpacked beyond the size it says."""
    _, _, size, checksum, named = CHUNK_HEAD.unpack_from(body)
    name = body[CHUNK_HEAD.size : CHUNK_HEAD.size + named]
    packed = body[CHUNK_HEAD.size + named + 8 :]
    if size > MOST_UNPACKED:
        return None
    try:
        data = _decompressed(name, packed, size)
    except Exception:  # each way of compression has errors of its own
        return None
    return data if len(data) == size and checksum in (0, zlib.crc32(data)) else None


def _decompressed(name: bytes, packed: bytes, size: int) -> bytes:
    """At most one byte more than `size`."""
    if name == b"lz4":
        return lz4.frame.LZ4FrameDecompressor().decompress(packed, max_length=size + 1)
    if name == b"zstd":
        with zstandard.ZstdDecompressor().stream_reader(packed) as stream:
            return stream.read(size + 1)
    if name:
        raise ValueError(f"unknown compression {name!r}")
    return packed
