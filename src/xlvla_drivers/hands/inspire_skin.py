"""The taxels of an Inspire FTP hand, read piece by piece."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from xlvla_drivers.hands import inspire_frames as wire


@dataclass(frozen=True)
class Piece:
    """Some bytes of a field, from `offset` on in it."""

    field: str
    offset: int
    size: int

    @property
    def address(self) -> int:
        return wire.FIELDS[self.field].address + self.offset


class Skin:
    """Forces [N] of all fields, as far as they have been read whole.

    Args:
        taxel_n: newton per count.
        largest: bytes of a piece.
        rate_hz: pieces per second; 0: none.

    Attributes:
        due_s: when the next piece is to be read (monotonic clock).
        fields: the newest whole reading of each field [rows, columns] N.
    """

    def __init__(self, taxel_n: float, largest: int, rate_hz: float):
        self._taxel_n = taxel_n
        self._period_s = 1 / rate_hz if rate_hz else math.inf
        self._pieces: list[Piece] = []
        for name, field in wire.FIELDS.items():
            for offset in range(0, field.size, largest):
                self._pieces.append(Piece(name, offset, min(largest, field.size - offset)))
        self.forget()

    def forget(self) -> None:
        """What was felt before the link broke is no longer true."""
        self.fields: dict[str, np.ndarray] = {}
        self._raw = {name: bytearray(field.size) for name, field in wire.FIELDS.items()}
        self._turns = itertools.cycle(self._pieces)
        self._next = next(self._turns)
        self.due_s = 0.0 if math.isfinite(self._period_s) else math.inf

    def next(self, now_s: float) -> Piece:
        """The piece whose turn it is, read now."""
        self.due_s = now_s + self._period_s
        return self._next

    def take(self, piece: Piece, data: bytes | None) -> None:
        """What was read of it; None: nothing, it is its turn again."""
        if data is None:
            return
        raw = self._raw[piece.field]
        end = piece.offset + piece.size
        raw[piece.offset : end] = data
        if end == len(raw):
            forces = self._taxel_n * wire.taxels(piece.field, bytes(raw))
            # A new mapping: the last state that was reported keeps the old one.
            self.fields = self.fields | {piece.field: forces}
        self._next = next(self._turns)
