"""One episode while it is recorded: its bag, its card, and what is to be said of it."""

from __future__ import annotations

import contextlib
import shutil
import struct
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xlvla.types import SECOND
from xlvla_data.bag.card import EpisodeCard
from xlvla_data.bag.decode import header_ns
from xlvla_data.bag.writer import BagWriter
from xlvla_data.recorder.spool import Item, Spool
from xlvla_data.recorder.stream_statistics import RecordedTopic, StreamStatistics
from xlvla_data.verdict import Issue, Span, Verdict, judge

LIVE_S = 20.0
"""The live verdict is on the last so many seconds."""

LEAP_NS = 3600 * SECOND
"""A stamp so far from the ones before is of another clock: the verdict says it, and the duration is
without it.
"""

CLOSE_S = 5.0
"""How long a disk is waited for at the end."""


@dataclass(frozen=True)
class ReceivedMessage:
    """A serialised message of a stream: when it came and when it was sent [ns]."""

    stream: RecordedTopic
    data: bytes
    log_ns: int
    sent_ns: int
    sequence: int
    raw_picture: bool = False


class Recording:
    """An episode that is being recorded; messages come from one thread, anything else from any.

    Attributes:
        card: what is known of it so far.
    """

    def __init__(
        self,
        folder: Path,
        card: EpisodeCard,
        streams: Sequence[RecordedTopic],
        least_free_bytes: float,
        distro: str,
    ):
        self.folder = folder
        self._began_ns = time.time_ns()
        self.card = replace(card, name=folder.name, state="recording", began_ns=self._began_ns)
        self.card.write(folder)
        self._statistics = {stream.topic.name: StreamStatistics(stream) for stream in streams}
        self._lock = threading.Lock()
        self.spool = Spool(
            BagWriter(folder, [stream.topic for stream in streams], distro), least_free_bytes
        )
        self._first_ns = self._last_ns = 0
        self._resets = 0

    @property
    def duration_s(self) -> float:
        """By the stamps, so simulated seconds in a simulation."""
        return (self._last_ns - self._first_ns) / SECOND

    def take(self, received: Sequence[ReceivedMessage]) -> None:
        """Messages as they came; those from before the episode are of topics that are said once."""
        with self._lock:
            for message in received:
                self._note(message)
        logs = [max(message.log_ns, self._began_ns) for message in received]
        self.spool.put(
            [
                Item(
                    message.stream.topic.name,
                    message.data,
                    log_ns,
                    message.sent_ns,
                    message.sequence,
                    message.raw_picture,
                )
                for message, log_ns in zip(received, logs, strict=True)
            ]
        )

    def _note(self, message: ReceivedMessage) -> None:
        if message.log_ns < self._began_ns and message.stream.kind != "device":
            return
        statistics = self._statistics[message.stream.topic.name]
        try:
            stamp_ns = header_ns(message.stream.topic.type, message.data)
            statistics.add(
                message.data, stamp_ns or message.log_ns, message.log_ns, message.sequence
            )
        except (struct.error, IndexError, ValueError):
            statistics.complain("a message cannot be read")
            return
        if (
            message.stream.claim_hz
            and stamp_ns
            and (not self._first_ns or abs(stamp_ns - self._last_ns) < LEAP_NS)
        ):
            self._first_ns = self._first_ns or stamp_ns
            self._last_ns = max(self._last_ns, stamp_ns)
        self._resets += message.stream.kind == "reset"

    def verdict(self, live: bool = False) -> Verdict:
        """On what came so far, or of it the newest seconds."""
        now_ns = time.time_ns()
        began_ns = max(self._began_ns, now_ns - round(LIVE_S * SECOND)) if live else self._began_ns
        with self._lock:
            tracks = [
                statistics.track(began_ns if live else 0)
                for statistics in self._statistics.values()
            ]
        span = Span(began_ns, now_ns)
        verdict = judge(tracks, span)
        return verdict.beside(self._own_issues())

    def _own_issues(self) -> list[Issue]:
        """What is wrong with the recording itself."""
        found = []
        if self.spool.fault:
            found.append(Issue("red", self.spool.fault))
        found += [
            Issue("red", f"{topic}: {line}") for topic, line in dict(self.spool.unreadable).items()
        ]
        if self.spool.dropped:
            found.append(Issue("red", f"{self.spool.dropped} messages were not written"))
        if self._resets:
            found.append(Issue("red", "the simulation was reset during the episode"))
        return found

    def finish(self, why: str, also: Sequence[Issue] = (), **changes: Any) -> EpisodeCard:
        """Ends the bag and judges all of it, with what was found elsewhere; the card as it is on
        the disk, or would be were there space.
        """
        ended_ns = time.time_ns()
        closed = self.spool.close(CLOSE_S)
        hangs = [] if closed else [Issue("red", "the disk hangs, so the bag could not be ended")]
        verdict = self.verdict().beside([*also, *hangs])
        results = {
            "verdict": verdict.colour,
            "findings": verdict.lines,
            "figures": dict(verdict.figures),
        }
        times = {"ended_ns": ended_ns, "duration_s": round(self.duration_s, 3)}
        self.card = replace(self.card, state="stopped", why=why, **results, **times, **changes)
        if closed:
            self._write_card()
        return self.card

    def _write_card(self) -> None:
        with contextlib.suppress(OSError):  # a full disk is among the findings already
            self.card.write(self.folder)

    def relabel(self, **changes: Any) -> None:
        """Changes what the card says."""
        self.card = replace(self.card, **changes)
        self._write_card()

    @property
    def free_gb(self) -> float:
        return shutil.disk_usage(self.folder).free / 1e9
