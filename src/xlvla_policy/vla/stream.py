"""Writing a safetensors file tensor by tensor: a model of 13 GB passes through the memory of one
layer.

A checksummed file carries the SHA-256 of all else in it: header, card and every tensor. So weights
and
what is said of them belong together, or are found out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from xlvla.files import replacing

PRECISIONS = {"bfloat16": torch.bfloat16, "float32": torch.float32, "float16": torch.float16}
CHECKSUM = "sha256"
"""Metadata key of a checksummed file's hash."""

_CODES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
_OPEN = b"0" * 64
"""What stands in the hash's place while it is computed."""


@dataclass(frozen=True)
class Entry:
    """One tensor to be written, and how to get it when its turn comes."""

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
    """Writes the file atomically; `wrote` hears the bytes of every tensor. Raises what `fetch`
    raises, leaving no file.
    """
    entries = list(entries)
    with replacing(path) as fresh, fresh.open("wb") as file:
        header = _header(
            entries, {**metadata, CHECKSUM: _OPEN.decode()} if checksummed else metadata
        )
        digest = hashlib.sha256(header)
        file.write(len(header).to_bytes(8, "little") + header)
        for entry in entries:
            tensor = entry.fetch().to(entry.dtype).contiguous()
            assert tuple(tensor.shape) == entry.shape
            content = tensor.reshape(-1).view(torch.uint8).numpy().data
            file.write(content)
            if checksummed:
                digest.update(content)
            wrote(entry.bytes)
        if checksummed:
            file.seek(8 + header.index(_OPEN))
            file.write(digest.hexdigest().encode())
    return path


def intact(path: Path, seal: str) -> bool:
    """Whether a file still matches its checksum."""
    with path.open("rb") as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
        digest = hashlib.sha256(header.replace(seal.encode(), _OPEN, 1))
        while content := file.read(1 << 24):
            digest.update(content)
    return digest.hexdigest() == seal


def _header(entries: list[Entry], metadata: Mapping[str, str]) -> bytes:
    document: dict[str, object] = {"__metadata__": dict(metadata)}
    offset = 0
    for entry in entries:
        document[entry.name] = {
            "dtype": _CODES[entry.dtype],
            "shape": entry.shape,
            "data_offsets": (offset, offset + entry.bytes),
        }
        offset += entry.bytes
    text = json.dumps(document, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
