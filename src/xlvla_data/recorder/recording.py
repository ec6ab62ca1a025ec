"""One episode while it is recorded: its bag, its card and its verdict."""

from __future__ import annotations

import contextlib
import shutil
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xlvla import topics
from xlvla.types import SECOND
from xlvla_data.bag.card import EpisodeCard
from xlvla_data.bag.decode import header_ns
from xlvla_data.bag.writer import BagWriter
from xlvla_data.recorder.spool import Item, Spool
from xlvla_data.recorder.stream_statistics import RecordedTopic, StreamStatistics
from xlvla_data.recorder.transforms import Transforms
from xlvla_data.verdict import Issue, Span, Verdict, judge

LIVE_S = 20.0
"""The live verdict is on the messages of the last seconds, this many."""

LEAP_NS = 3600 * SECOND
"""A stamp that is so far from the ones before is of another clock: the verdict reports it, and the
duration leaves it out.
"""

CLOSE_S = 5.0
"""How long a disk is waited for at the end."""


@dataclass(frozen=True)
class ReceivedMessage:
    """A serialised message of a stream.

    Args:
        log_ns: when it came.
        sent_ns: when it was sent.
        sequence: number that its publisher gave it.
        raw_picture: it is to be compressed on the way to the bag.
    """

    stream: RecordedTopic
    data: bytes
    log_ns: int
    sent_ns: int
    sequence: int
    raw_picture: bool = False


class Recording:
    """An episode that is being recorded; messages come from one thread, anything else from any.

    Args:
        transforms: of the robot, written beside its joint states; None writes none.

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
        transforms: Transforms | None = None,
    ):
        self.folder = folder
        self._began_ns = time.time_ns()
        self.card = replace(card, name=folder.name, state="recording", began_ns=self._began_ns)
        self.card.write(folder)
        self._statistics = {stream.topic.name: StreamStatistics(stream) for stream in streams}
        self._lock = threading.Lock()
        self._transforms = transforms
        bag_topics = [stream.topic for stream in streams]
        if transforms is not None:
            bag_topics += transforms.topics
        writer = BagWriter(folder, bag_topics, distro)
        self.spool = Spool(writer, least_free_bytes, derived=self._derived)
        if transforms is not None:
            still = transforms.static(self._began_ns)
            name = transforms.fixed.name
            self.spool.put([Item(name, still, self._began_ns, self._began_ns, 1)])
        self._first_ns = 0
        self._last_ns = 0
        self._resets = 0

    @property
    def duration_s(self) -> float:
        """By the stamps, so simulated seconds in a simulation."""
        return (self._last_ns - self._first_ns) / SECOND

    def take(self, received: Sequence[ReceivedMessage]) -> None:
        """Messages as they came; those from before the episode are of topics that are published
        once, and get the episode's beginning as their log time.
        """
        with self._lock:
            for message in received:
                self._note(message)
        items: list[Item] = []
        for message in received:
            item = Item(
                topic=message.stream.topic.name,
                data=message.data,
                log_ns=max(message.log_ns, self._began_ns),
                sent_ns=message.sent_ns,
                sequence=message.sequence,
                raw_picture=message.raw_picture,
            )
            items.append(item)
        self.spool.put(items)

    def _derived(self, item: Item) -> Iterator[Item]:
        """The transforms of a message with the joint states of the whole robot."""
        if self._transforms is not None and item.topic == topics.JOINT_STATES:
            data = self._transforms.of(item.data)
            yield replace(item, topic=self._transforms.moving.name, data=data)

    def _note(self, message: ReceivedMessage) -> None:
        """Adds a message to the statistics of its stream."""
        stream = message.stream
        # What was published before the episode is no part of it; a device's status still holds
        if message.log_ns < self._began_ns and stream.kind != "device":
            return
        statistics = self._statistics[stream.topic.name]
        try:
            header_stamp_ns = header_ns(stream.topic.type, message.data)
            stamp_ns = header_stamp_ns or message.log_ns
            statistics.add(message.data, stamp_ns, message.log_ns, message.sequence)
        except (struct.error, IndexError, ValueError):
            statistics.complain("a message cannot be read")
            return
        if stream.claim_hz and header_stamp_ns:
            self._extend(header_stamp_ns)
        if stream.kind == "reset":
            self._resets += 1

    def _extend(self, stamp_ns: int) -> None:
        """Lets the episode last until this stamp, unless it is of another clock."""
        first = not self._first_ns
        if not first and abs(stamp_ns - self._last_ns) >= LEAP_NS:
            return
        if first:
            self._first_ns = stamp_ns
        self._last_ns = max(self._last_ns, stamp_ns)

    def verdict(self, live: bool = False) -> Verdict:
        """On all messages so far, or, `live`, on those of the last seconds."""
        now_ns = time.time_ns()
        began_ns = self._began_ns
        since_ns = 0
        if live:
            began_ns = max(began_ns, now_ns - round(LIVE_S * SECOND))
            since_ns = began_ns
        with self._lock:
            tracks = [statistics.track(since_ns) for statistics in self._statistics.values()]
        verdict = judge(tracks, Span(began_ns, now_ns))
        return verdict.beside(self._own_issues())

    def _own_issues(self) -> list[Issue]:
        """What is wrong with the recording itself."""
        issues: list[Issue] = []
        if self.spool.fault:
            issues.append(Issue("red", self.spool.fault))
        # A copy, since the bag's thread adds to it
        for topic, line in dict(self.spool.unreadable).items():
            issues.append(Issue("red", f"{topic}: {line}"))
        if self.spool.dropped:
            issues.append(Issue("red", f"{self.spool.dropped} messages were not written"))
        if self._resets:
            issues.append(Issue("red", "the simulation was reset during the episode"))
        return issues

    def finish(self, why: str, also: Sequence[Issue] = (), **changes: Any) -> EpisodeCard:
        """Ends the bag and judges all of it, with the issues in `also`.

        Returns the card as it is on the disk, or would be if there were space.
        """
        ended_ns = time.time_ns()
        issues = list(also)
        closed = self.spool.close(CLOSE_S)
        if not closed:
            issues.append(Issue("red", "the disk hangs, so the bag could not be ended"))
        verdict = self.verdict().beside(issues)
        self.card = replace(
            self.card,
            state="stopped",
            why=why,
            verdict=verdict.colour,
            findings=verdict.lines,
            figures=dict(verdict.figures),
            ended_ns=ended_ns,
            duration_s=round(self.duration_s, 3),
            **changes,
        )
        if closed:
            self._write_card()
        return self.card

    def _write_card(self) -> None:
        # A full disk is among the findings already
        with contextlib.suppress(OSError):
            self.card.write(self.folder)

    def relabel(self, **changes: Any) -> None:
        """Changes fields of the card."""
        self.card = replace(self.card, **changes)
        self._write_card()

    @property
    def free_gb(self) -> float:
        return shutil.disk_usage(self.folder).free / 1e9
