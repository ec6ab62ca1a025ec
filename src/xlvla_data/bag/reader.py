"""Reads a bag, also one whose recorder was killed."""

from __future__ import annotations

import fcntl
import struct
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from xlvla.errors import XlvlaError, unknown
from xlvla_data.bag import scan
from xlvla_data.bag.card import CARD, EpisodeCard, read_episode_card
from xlvla_data.bag.decode import Decoder, header_ns
from xlvla_data.bag.layout import METADATA, BagTopic
from xlvla_data.bag.parts import description, parts


class Message(NamedTuple):
    """A message of a bag.

    Args:
        stamp_ns: its header's stamp; where it has none, the latest stamp of any message before it.
        log_ns: when it came, by the system's clock.
        sent_ns: when its publisher sent it.
        content: decoded, with the fields of its type, arrays as numpy's; bytes where raw messages
            were asked for.
        sequence: number that its publisher gave it, so that a missing one is a lost message; 0
            where it is not known.
    """

    topic: str
    stamp_ns: int
    log_ns: int
    sent_ns: int
    content: Any
    sequence: int


class Bag:
    """A recorded episode on disk.

    Attributes:
        parts: its files, in order.
        contents: topics and state of each file.
        topics: by name.
        closed: every file ends as it should.
        whole: it is closed and has a `metadata.yaml`.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.parts = parts(folder)
        self.contents = [scan.look(part) for part in self.parts]
        self.topics: dict[str, BagTopic] = {}
        for contents in self.contents:
            for topic in contents.topics.values():
                known = self.topics.setdefault(topic.name, topic)
                if known.type != topic.type:
                    raise XlvlaError(
                        f"{folder}: {topic.name} is of two types, {known.type} and {topic.type}"
                    )
        self.closed = all(contents.closed for contents in self.contents)
        self.whole = self.closed and (folder / METADATA).is_file()

    @cached_property
    def info(self) -> EpisodeCard:
        return read_episode_card(self.folder)

    def messages(
        self, topics: Collection[str] | None = None, *, raw: bool = False
    ) -> Iterator[Message]:
        """Messages of these topics, None: all, in the order they came. A torn bag ends where it was
        torn.

        Raises:
            XlvlaError: a file is damaged, at the latest when all of it was read, or a message
                cannot be decoded.
        """
        for name in topics or ():
            if name not in self.topics:
                raise unknown("topic", name, self.topics)
        if str(description(self.folder).get("compression_mode")).upper() == "MESSAGE":
            raise XlvlaError(
                f"{self.folder} has every message compressed on its own: `ros2 bag convert` makes "
                "a bag without that"
            )
        decoder = Decoder()
        newest_ns = 0
        for message in self._raw():
            topic = self.topics.get(message.topic)
            if topic is None:
                raise XlvlaError(
                    f"{self.folder} is damaged: {message.topic} is not declared at its beginning"
                )
            stamp_ns = _stamp(topic, message)
            newest_ns = max(newest_ns, stamp_ns or 0)
            if topics is not None and message.topic not in topics:
                continue
            yield Message(
                topic=message.topic,
                stamp_ns=newest_ns if stamp_ns is None else stamp_ns,
                log_ns=message.log_ns,
                sent_ns=message.sent_ns,
                content=message.data if raw else decoder(topic, message.data),
                sequence=message.sequence,
            )

    def _raw(self) -> Iterator[scan.Raw]:
        """The serialised messages of all files; raises XlvlaError behind one that is damaged."""
        for part, contents in zip(self.parts, self.contents, strict=True):
            losses = scan.Losses()
            for chunk in scan.messages(part, contents, losses):
                yield from chunk
            if losses.lines:
                raise XlvlaError(
                    f"{part} is damaged: {'; '.join(losses.lines[:3])}; `xlvla data repair` keeps "
                    "what can be read"
                )


def _stamp(topic: BagTopic, message: scan.Raw) -> int | None:
    """The header's stamp [ns]; None where the type has none."""
    try:
        return header_ns(topic.type, message.data)
    except struct.error:
        raise XlvlaError(
            f"{topic.name}: a message of {len(message.data)} bytes is too short to have a stamp"
        ) from None


def bags(folder: Path) -> list[Path]:
    """The episodes in a folder of sessions, in a session, or the episode itself, in order;
    discarded ones are left out.
    """
    if (folder / CARD).is_file():
        return [folder]
    cards = [*folder.glob(f"*/{CARD}"), *folder.glob(f"*/*/{CARD}")]
    return sorted(path.parent for path in cards if "discarded" not in path.parts)


@contextmanager
def kept_for_us(files: Sequence[Path]) -> Iterator[bool]:
    """Locks a bag's files, so that no other process records or repairs it meanwhile; yields whether
    that was possible.
    """
    with ExitStack() as stack:
        try:
            for path in files:
                file = stack.enter_context(path.open("rb"))
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
