"""Makes whole again what a killed recorder left behind, or what was damaged since; what cannot be
read is kept beside it.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mcap.records import Metadata

from xlvla import files
from xlvla.errors import XlvlaError
from xlvla_data.bag import scan
from xlvla_data.bag.card import read_episode_card
from xlvla_data.bag.layout import METADATA, BagTopic, FileFacts, as_yaml, information
from xlvla_data.bag.mcap_file import McapFile
from xlvla_data.bag.parts import PACKED, description, parts
from xlvla_data.bag.reader import Bag, bags, kept_for_us
from xlvla_data.bag.writer import SPARE
from xlvla_data.verdict import COLOURS, Issue, Verdict

KILLED = "its recorder was killed; up to a second at its end may be missing"

DAMAGED = ".damaged"
"""Behind the name of a file that a repair replaced and that holds more than could be read."""


@dataclass
class Reading:
    """What was read of a file.

    Attributes:
        counts: messages by topic.
        losses: what was not read.
    """

    counts: Counter[str] = field(default_factory=Counter[str])
    losses: scan.Losses = field(default_factory=scan.Losses)
    first_ns: int = 0
    last_ns: int = 0

    @property
    def lost(self) -> list[str]:
        """What was not read, a line each."""
        return [
            *self.losses.lines,
            *(["its end is cut off in the midst of a record"] if self.losses.torn else []),
        ]

    def add(self, message: scan.Raw) -> None:
        self.first_ns = min(self.first_ns, message.log_ns) if self.counts else message.log_ns
        self.last_ns = max(self.last_ns, message.log_ns)
        self.counts[message.topic] += 1

    def facts(self, name: str) -> FileFacts:
        return FileFacts(name, self.counts, self.first_ns, self.last_ns)


@dataclass(frozen=True)
class Attempt:
    """What became of a bag that nobody closed: repaired or not, and a line on it."""

    folder: Path
    repaired: bool
    line: str


def repair(folder: Path) -> str:
    """Makes a bag whole with everything that can still be read; what was done, '' where there was
    nothing to do.

    A file that is whole stays as it is. One that is not is written anew; where it holds anything
    that could not be read, or is of another recorder, it is kept with `.damaged` behind its name.
    Nothing is replaced before what was written has been counted.

    Raises:
        XlvlaError: nothing of it can be read, it cannot be written anew without loss, or there is
            no space; it is left as it is.
    """
    try:
        with kept_for_us(parts(folder)) as ours:
            return _repaired(folder) if ours else ""
    except OSError as error:
        raise XlvlaError(f"{folder} cannot be repaired: {error.strerror or error}") from None


def repair_all(folder: Path) -> Iterator[Attempt]:
    """Repairs the bags in a folder of sessions that our own recorder did not close; those of others
    are not touched.
    """
    for path in bags(folder):
        if (path / METADATA).is_file():
            continue
        try:
            if not all(contents.own for contents in Bag(path).contents):
                continue
            if line := repair(path):
                yield Attempt(path, True, line)
        except XlvlaError as error:
            yield Attempt(path, False, str(error))


def _repaired(folder: Path) -> str:
    bag = Bag(folder)
    done: list[str] = []
    lost: list[str] = []
    facts: list[FileFacts] = []
    names: list[str] = []
    for part, contents in zip(bag.parts, bag.contents, strict=True):
        reading = _read(part, contents)
        name = part.name
        if not contents.closed or reading.lost:
            name = _mend(part, contents, reading)
            done.append(_what_was_read(part, name, contents, reading))
            lost += reading.lost
        facts.append(reading.facts(name))
        names.append(name)
    if not done and description(folder):
        return ""
    _describe(folder, bag, facts)
    (folder / SPARE).unlink(missing_ok=True)
    _correct_card(folder, lost)
    return "; ".join(done) or f"{METADATA} is there again"


def _read(part: Path, contents: scan.Contents) -> Reading:
    reading = Reading()
    for chunk in scan.messages(part, contents, reading.losses):
        for message in chunk:
            reading.add(message)
    return reading


def _mend(part: Path, contents: scan.Contents, reading: Reading) -> str:
    """Writes a file anew and puts it in its place; its name."""
    if not reading.counts and not (contents.own and not reading.lost):
        raise XlvlaError(f"{part}: no message of it can be read; it is left as it is")
    if contents.foreign_encodings:
        known = ", ".join(sorted(contents.foreign_encodings))
        raise XlvlaError(
            f"{part} has messages or types in {known}, which cannot be written anew; it is left as "
            "it is"
        )
    place = part.with_suffix("") if part.suffix in PACKED else part
    keep = place != part or reading.lost or not contents.own
    for left in place.parent.glob(
        f".{place.name}.*.new"
    ):  # of a repair that was killed; nobody else is at it now
        left.unlink()
    with files.replacing(place) as fresh:
        _write(part, contents, fresh)
        again = _read(fresh, scan.look(fresh))
        if again.lost or again.counts != reading.counts:
            raise XlvlaError(
                f"{part}: what was written anew holds less than could be read; it is left as it is"
            )
        if keep:
            _keep(part)
    if place != part:
        part.unlink()
    return place.name


def _write(part: Path, contents: scan.Contents, fresh: Path) -> None:
    topics = list({topic.name: topic for topic in contents.topics.values()}.values())
    writer = McapFile(fresh, topics)
    for chunk in scan.messages(part, contents, scan.Losses()):
        for message in chunk:
            writer.add(
                message.topic, message.data, message.log_ns, message.sent_ns, message.sequence
            )
        writer.flush()
    writer.close(
        lambda: Metadata(
            "rosbag2", {"serialized_metadata": as_yaml(_information(part, writer, topics))}
        )
    )


def _information(part: Path, writer: McapFile, topics: list[BagTopic]) -> dict[str, Any]:
    return information([FileFacts(part.name, writer.counts, *writer.span_ns)], topics, _distro())


def _keep(path: Path) -> Path:
    """Gives a file a second name that says that it is damaged, so that it outlives its first."""
    kept = path.with_name(path.name + DAMAGED)
    number = 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}{DAMAGED}{number}")
    try:
        os.link(path, kept)
    except OSError:  # a file system without links
        with files.replacing(kept) as fresh:
            shutil.copyfile(path, fresh)
    return kept


def _what_was_read(part: Path, name: str, contents: scan.Contents, reading: Reading) -> str:
    count = reading.counts.total()
    of = f" of {contents.expected}" if contents.expected is not None else ""
    kept = sorted(path.name for path in part.parent.glob(f"{part.name}{DAMAGED}*"))
    beside = f"; what it was is in {kept[-1]}" if kept else ""
    why = f", {'; '.join(reading.lost[:3])}" if reading.lost else ""
    return f"{name} is whole again with {count}{of} messages{why}{beside}"


def _describe(folder: Path, bag: Bag, facts: list[FileFacts]) -> None:
    if (folder / METADATA).is_file():
        _keep(folder / METADATA)
    document = information(facts, list(bag.topics.values()), _distro())
    if any(file.name.endswith(PACKED) for file in facts):
        document |= {"compression_format": "zstd", "compression_mode": "FILE"}
    files.write_text(folder / METADATA, as_yaml({"rosbag2_bagfile_information": document}))


def _distro() -> str:
    return os.environ.get("ROS_DISTRO", "")


def _correct_card(folder: Path, lost: list[str]) -> None:
    """Says on the card what nobody could say while it was recorded, and what was lost since."""
    try:
        card = read_episode_card(folder)
    except XlvlaError:  # a bag of somebody else's
        return
    own = [Issue("yellow", f"it was damaged and repaired: {line}") for line in lost]
    changes: dict[str, Any] = {}
    if card.state == "recording":
        own.insert(0, Issue("yellow", KILLED))
        about = description(folder)
        began_ns = about["starting_time"]["nanoseconds_since_epoch"]
        spent_ns = about["duration"]["nanoseconds"]
        changes = {
            "state": "stopped",
            "why": KILLED,
            "began_ns": began_ns,
            "ended_ns": began_ns + spent_ns,
        }
    if not own:
        return
    replace(card, **changes, **_judged(folder, own, card.verdict, card.findings)).write(folder)


def _judged(folder: Path, own: list[Issue], colour: str, before: list[Any]) -> dict[str, Any]:
    """The verdict on what is there now, beside what was found before."""
    from xlvla_data.recorder.late_verdict import judged

    earlier = [
        Issue(word, line)
        for word, _, line in (str(each).partition(": ") for each in before)
        if word in COLOURS
    ]
    try:
        verdict, seconds = judged(Bag(folder))
    except XlvlaError:
        own = [
            *own,
            Issue("yellow", "its rig is not known here, so what is left of it was not judged"),
        ]
        verdict = Verdict((), {}).beside([*own, *earlier])
        worst = max(verdict.colour, colour or "green", key=COLOURS.index)
        return {"verdict": worst, "findings": verdict.lines}
    verdict = verdict.beside([*own, *earlier])
    return {
        "verdict": verdict.colour,
        "findings": verdict.lines,
        "figures": dict(verdict.figures),
        "duration_s": round(seconds, 3),
    }
