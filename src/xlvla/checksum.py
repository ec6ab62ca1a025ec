"""A safetensors file that carries the SHA-256 of everything else in it: header, card and every
tensor. So a change of the weights or of their card is detected.
"""

from __future__ import annotations

import hashlib

CHECKSUM = "sha256"
"""Metadata key of the hash."""

NO_HASH = "0" * 64
"""Stands in the hash's place while it is computed."""

LENGTH_BYTES = 8
"""The length of the header, which a file begins with and which is not hashed."""


def seal(content: bytes) -> bytes:
    """A file whose metadata has `NO_HASH` as its checksum, with its hash in that place."""
    return content.replace(NO_HASH.encode(), _hash(content).encode(), 1)


def intact(content: bytes, checksum: str) -> bool:
    """Whether a file still matches the checksum that its metadata has."""
    as_hashed = content.replace(checksum.encode(), NO_HASH.encode(), 1)
    return _hash(as_hashed) == checksum


def _hash(content: bytes) -> str:
    return hashlib.sha256(content[LENGTH_BYTES:]).hexdigest()
