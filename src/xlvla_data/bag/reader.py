"""Reads a bag, also one whose recorder was killed."""

from __future__ import annotations

import fcntl
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from xlvla.errors import XlvlaError, unknown
from xlvla_data.bag import scan
from xlvla_data.bag.card import CARD, Card, read_card
from xlvla_data.bag.decode import Decoder, header_ns
from xlvla_data.bag.layout import METADATA, BagTopic, mcap_path


@dataclass(frozen=True)
class Message:
    """A message of a bag.

    Args:
        stamp_ns: its header's stamp; where it has none, the latest stamp of any message before it.
        log_ns: when it came, by the system's clock; `sent_ns` when its writer sent it.
        content: decoded, with the fields its type has, arrays as numpy's; bytes where raw messages were asked for.
        sequence: counts what its writer sent, so that a missing number is a lost message; 0 where it is not known.
    """

    topic: str
    stamp_ns: int
    log_ns: int
    sent_ns: int
    content: Any
    sequence: int


class Bag:
    """A recorded episode on disk."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.path = mcap_path(folder)
        if not self.path.is_file():
            raise XlvlaError(f"{folder} is no bag: it has no {self.path.name}")
        found = scan.look(self.path)
        self.topics: dict[str, BagTopic] = {topic.name: topic for topic in found.topics.values()}
        self.whole = found.closed and (folder / METADATA).is_file()

    @cached_property
    def info(self) -> Card:
        return read_card(self.folder)

    def messages(self, topics: Collection[str] | None = None, *, raw: bool = False) -> Iterator[Message]:
        """Messages of these topics, None: all, in the order they came. A torn bag ends where it was torn."""
        for name in topics or ():
            if name not in self.topics:
                raise unknown("topic", name, self.topics)
        decoder, newest_ns = Decoder(), 0
        for chunk in scan.messages(self.path):
            for message in chunk:
                topic = self.topics[message.topic]
                stamp_ns = header_ns(topic.type, message.data)
                newest_ns = max(newest_ns, stamp_ns or 0)
                if topics is None or message.topic in topics:
                    content = message.data if raw else decoder(topic, message.data)
                    times = (newest_ns if stamp_ns is None else stamp_ns, message.log_ns, message.sent_ns)
                    yield Message(message.topic, *times, content, message.sequence)


def bags(folder: Path) -> list[Path]:
    """The episodes in a folder of sessions, in a session, or the episode itself, in order; discarded ones are left out."""
    if (folder / CARD).is_file():
        return [folder]
    return sorted(path.parent for pattern in (f"*/{CARD}", f"*/*/{CARD}") for path in folder.glob(pattern) if "discarded" not in path.parts)


def in_use(folder: Path) -> bool:
    """Whether somebody records this bag now."""
    with mcap_path(folder).open("rb") as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
