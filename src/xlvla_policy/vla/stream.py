"""Writing a safetensors file tensor by tensor: a model of 13 GB needs the memory of one layer.

What a checksummed file is, says `xlvla.checksum`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from xlvla.checksum import CHECKSUM, NO_HASH
from xlvla.files import replacing

PRECISIONS = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float16": torch.float16}

_CODES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
_ALIGNMENT = 8
"""Tensors begin at a multiple of this many bytes."""
_BLOCK_BYTES = 1 << 24
"""Bytes of a file that are hashed at a time."""


@dataclass(frozen=True)
class Entry:
    """One tensor to be written; `fetch` gets it when its turn comes."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    fetch: Callable[[], Tensor]

    @property
    def bytes(self) -> int:
        return torch.Size(self.shape).numel() * self.dtype.itemsize


def write(
    path: Path,
    entries: Iterable[Entry],
    metadata: Mapping[str, str],
    wrote: Callable[[int], None] = lambda size: None,
    *,
    checksummed: bool = False,
) -> Path:
    """Writes the file atomically; `wrote` is called with the size [bytes] of every tensor. Raises
    what `fetch` raises, leaving no file.
    """
    entries = list(entries)
    if checksummed:
        metadata = {**metadata, CHECKSUM: NO_HASH}
    header = _header(entries, metadata)
    digest = hashlib.sha256(header)
    with replacing(path) as fresh, fresh.open("wb") as file:
        file.write(len(header).to_bytes(8, "little"))
        file.write(header)
        for entry in entries:
            tensor = entry.fetch().to(entry.dtype).contiguous()
            assert tuple(tensor.shape) == entry.shape
            content = tensor.reshape(-1).view(torch.uint8).numpy().data
            file.write(content)
            if checksummed:
                digest.update(content)
            wrote(entry.bytes)
        if checksummed:
            file.seek(8 + header.index(NO_HASH.encode()))
            file.write(digest.hexdigest().encode())
    return path


def intact(path: Path, checksum: str) -> bool:
    """Whether a file still matches its checksum."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(length)
        as_hashed = header.replace(checksum.encode(), NO_HASH.encode(), 1)
        digest = hashlib.sha256(as_hashed)
        while content := file.read(_BLOCK_BYTES):
            digest.update(content)
    return digest.hexdigest() == checksum


def sha256(path: Path) -> str:
    """Hash of a file, read a block at a time."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while content := file.read(_BLOCK_BYTES):
            digest.update(content)
    return digest.hexdigest()


def _header(entries: list[Entry], metadata: Mapping[str, str]) -> bytes:
    document: dict[str, object] = {"__metadata__": dict(metadata)}
    offset = 0
    for entry in entries:
        end = offset + entry.bytes
        document[entry.name] = {
            "dtype": _CODES[entry.dtype],
            "shape": entry.shape,
            "data_offsets": (offset, end),
        }
        offset = end
    text = json.dumps(document, separators=(",", ":")).encode()
    padding = -len(text) % _ALIGNMENT
    return text + b" " * padding
