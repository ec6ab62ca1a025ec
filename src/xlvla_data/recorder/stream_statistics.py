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
"""Level of a DiagnosticStatus, its first byte, from which on a device does not follow commands."""

MOST_FAULTS = 20
"""Lines about one stream; further ones are left out."""

STAMP_BYTES = 12
"""A message's beginning with its stamp, which differs between equal pictures."""


@dataclass(frozen=True)
class RecordedTopic:
    """A recorded topic, and what the rig specifies for it; see `Track`.

    Args:
        counted: one node publishes it, so that gaps in its sequence numbers are lost messages.
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
        self._sequence = 0
        self._lost = 0
        self._faults: dict[str, None] = {}

    def add(self, data: bytes, stamp_ns: int, log_ns: int, sequence: int) -> None:
        """Takes a message; one that cannot be read raises before anything of it is kept."""
        if self.stream.kind in ("state", "command"):
            self._pose(data)
        elif self.stream.kind == "camera":
            self._prints.append(fingerprint(data[STAMP_BYTES:]))
        elif self.stream.kind == "device" and data[START] >= ERROR:
            # A DiagnosticStatus: level, name, message
            _, name_end = read_text(data, START + 1)
            message, _ = read_text(data, name_end)
            self.complain(message)
        self._stamps.append(stamp_ns)
        self._logs.append(log_ns)
        self._count(sequence)

    def complain(self, line: str) -> None:
        """Keeps a line on what is wrong with the stream, up to `MOST_FAULTS` different ones."""
        if len(self._faults) < MOST_FAULTS:
            self._faults[plain(line)] = None

    def track(self, since_ns: int = 0) -> Track:
        """What came from this log time on."""
        stream = self.stream
        first = bisect.bisect_left(self._logs, since_ns)
        width = len(stream.joints)
        values = np.zeros((0, 0))
        if width:
            values = np.array(self._values[first * width :]).reshape(-1, width)
        return Track(
            name=stream.topic.name,
            kind=stream.kind,
            of=stream.of,
            stamps=np.array(self._stamps[first:], np.int64),
            logs=np.array(self._logs[first:], np.int64),
            claim_hz=stream.claim_hz,
            values=values,
            lower=stream.lower,
            upper=stream.upper,
            prints=np.array(self._prints[first:], np.int64),
            noiseless=stream.noiseless,
            lost=self._lost,
            faults=tuple(self._faults),
        )

    def _count(self, sequence: int) -> None:
        """Counts lost messages by the gaps in the sequence numbers; a smaller number is of another
        publisher.
        """
        if self.stream.counted and 0 < self._sequence < sequence:
            self._lost += sequence - self._sequence - 1
        self._sequence = sequence

    def _pose(self, data: bytes) -> None:
        """Keeps positions in the rig's order; NaN for those the message does not have."""
        values = self._positions(data)
        if self._positions.names != self._names:
            self._meet(self._positions.names)
        if len(values) != len(self._names):
            self.complain(f"{len(self._names)} joints are named but {len(values)} positions given")
            values = np.full(len(self._names), np.nan)
        # Index -1, of a joint that is missing, is the NaN at the end
        ordered = np.append(values, np.nan)[self._order]
        self._values.frombytes(ordered.tobytes())

    def _meet(self, names: tuple[str, ...]) -> None:
        """Learns where the rig's joints are in messages with these names."""
        self._names = names
        self._order = []
        missing: list[str] = []
        for joint in self.stream.joints:
            if joint in names:
                self._order.append(names.index(joint))
            else:
                self._order.append(-1)
                missing.append(joint)
        if missing:
            line = f"lacks {', '.join(missing[:3])}"
            others = len(missing) - 3
            self.complain(f"{line} and {others} more" if others > 0 else line)
