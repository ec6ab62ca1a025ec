"""Statistics of a stream while it is recorded, from which its verdict follows."""

from __future__ import annotations

import array
import bisect
from dataclasses import dataclass, field

import numpy as np

from xlvla.text import plain
from xlvla_data.bag.decode import START, Positions, read_text
from xlvla_data.bag.layout import BagTopic
from xlvla_data.bag.picture import fingerprint
from xlvla_data.verdict import Kind, Track

ERROR = 2
"""Level of a DiagnosticStatus, its first byte, from which on a device does not do what it is told.
"""

MOST_FAULTS = 20
"""Different lines about one stream."""

STAMP_BYTES = 12
"""A message's beginning, with its stamp, which two pictures do not share."""


@dataclass(frozen=True)
class RecordedTopic:
    """A recorded topic, and what the rig specifies for it; see `Track`.

    Args:
        counted: one node says it, so that its sequence numbers tell what was lost.
    """

    topic: BagTopic
    kind: Kind = "other"
    of: str = ""
    claim_hz: float | None = None
    joints: tuple[str, ...] = ()
    lower: np.ndarray = field(default_factory=lambda: np.zeros(0))
    upper: np.ndarray = field(default_factory=lambda: np.zeros(0))
    counted: bool = False
    noiseless: bool = False


class StreamStatistics:
    """Collects one stream."""

    def __init__(self, stream: RecordedTopic):
        self.stream = stream
        self._stamps = array.array("q")
        self._logs = array.array("q")
        self._values = array.array("d")
        self._prints = array.array("q")
        self._positions = Positions()
        self._order = list[int]()
        self._names: tuple[str, ...] = ()
        self._sequence = self._lost = 0
        self._faults: dict[str, None] = {}

    def add(self, data: bytes, stamp_ns: int, log_ns: int, sequence: int) -> None:
        """A message, as it came; one that cannot be read raises before anything of it is kept."""
        if self.stream.kind in ("state", "command"):
            self._pose(data)
        elif self.stream.kind == "camera":
            self._prints.append(fingerprint(data[STAMP_BYTES:]))
        elif self.stream.kind == "device" and data[START] >= ERROR:
            _, name_end = read_text(data, START + 1)
            self.complain(read_text(data, name_end)[0])
        self._stamps.append(stamp_ns)
        self._logs.append(log_ns)
        self._count(sequence)

    def complain(self, line: str) -> None:
        """Something is wrong with the stream; the first few things are kept."""
        if len(self._faults) < MOST_FAULTS:
            self._faults[plain(line)] = None

    def track(self, since_ns: int = 0) -> Track:
        """What came from this log time on."""
        stream = self.stream
        width = len(self.stream.joints)
        first = bisect.bisect_left(self._logs, since_ns)
        stamps, logs, prints = (
            np.array(column[first:], np.int64)
            for column in (self._stamps, self._logs, self._prints)
        )
        values = (
            np.array(self._values[first * width :]).reshape(-1, width)
            if width
            else np.zeros((0, 0))
        )
        limits = {
            "lower": stream.lower,
            "upper": stream.upper,
            "lost": self._lost,
            "faults": tuple(self._faults),
        }
        columns = {
            "values": values,
            "prints": prints,
            "claim_hz": stream.claim_hz,
            "noiseless": stream.noiseless,
        }
        return Track(stream.topic.name, stream.kind, stream.of, stamps, logs, **columns, **limits)

    def _count(self, sequence: int) -> None:
        """A number that is not the next one is of lost messages, or of another publisher where it
        is smaller.
        """
        if self.stream.counted and 0 < self._sequence < sequence:
            self._lost += sequence - self._sequence - 1
        self._sequence = sequence

    def _pose(self, data: bytes) -> None:
        """Positions in the rig's order; NaN for those it does not have."""
        values = self._positions(data)
        if self._positions.names != self._names:
            self._meet(self._positions.names)
        if len(values) != len(self._names):
            self.complain(f"{len(self._names)} joints are named but {len(values)} positions given")
            values = np.full(len(self._names), np.nan)
        self._values.frombytes(np.append(values, np.nan)[self._order].tobytes())

    def _meet(self, names: tuple[str, ...]) -> None:
        self._names = names
        self._order = [names.index(joint) if joint in names else -1 for joint in self.stream.joints]
        if missing := [joint for joint in self.stream.joints if joint not in names]:
            self.complain(
                f"lacks {', '.join(missing[:3])}"
                + (f" and {len(missing) - 3} more" if missing[3:] else "")
            )
