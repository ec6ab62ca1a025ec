"""Repairs bags that a killed recorder left behind or that were damaged since; a file that holds
more than could be read is kept beside the repaired one.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from mcap.records import Metadata

from xlvla import files
from xlvla.errors import XlvlaError
from xlvla_data.bag import scan
from xlvla_data.bag.card import EpisodeCard, read_episode_card
from xlvla_data.bag.layout import METADATA, FileFacts, as_yaml, information
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
        first_ns, last_ns: log times of the earliest and the latest message.
    """

    counts: Counter[str] = field(default_factory=Counter[str])
    losses: scan.Losses = field(default_factory=scan.Losses)
    first_ns: int = 0
    last_ns: int = 0

    @property
    def lost(self) -> list[str]:
        """What was not read, a line each."""
        lines = self.losses.lines
        if self.losses.torn:
            lines.append("its end is cut off in the midst of a record")
        return lines

    def add(self, message: scan.Raw) -> None:
        """Counts a message."""
        if not self.counts:
            self.first_ns = message.log_ns
        self.first_ns = min(self.first_ns, message.log_ns)
        self.last_ns = max(self.last_ns, message.log_ns)
        self.counts[message.topic] += 1

    def facts(self, name: str) -> FileFacts:
        return FileFacts(name, self.counts, self.first_ns, self.last_ns)


@dataclass(frozen=True)
class Attempt:
    """The repair of a bag that was not closed: whether it was repaired, and a line on it."""

    folder: Path
    repaired: bool
    line: str


def repair(folder: Path) -> str:
    """Makes a bag whole with everything that can still be read; returns a line on what was done, ''
    where there was nothing to do.

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
            line = repair(path)
        except XlvlaError as error:
            yield Attempt(path, False, str(error))
            continue
        if line:
            yield Attempt(path, True, line)


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
    """Writes a file anew, without compression, and puts it in its place; returns its name."""
    # A recorder that was killed before the first flush leaves a file without messages
    empty_but_whole = contents.own and not reading.lost
    if not reading.counts and not empty_but_whole:
        raise XlvlaError(f"{part}: no message of it can be read; it is left as it is")
    if contents.foreign_encodings:
        known = ", ".join(sorted(contents.foreign_encodings))
        raise XlvlaError(
            f"{part} has messages or types in {known}, which cannot be written anew; it is left as "
            "it is"
        )
    place = part.with_suffix("") if part.suffix in PACKED else part
    packed = place != part
    # Left by a repair that was killed; because of the lock no other is at work now
    for left in place.parent.glob(f".{place.name}.*.new"):
        left.unlink()
    with files.replacing(place) as fresh:
        _write(part, contents, fresh)
        again = _read(fresh, scan.look(fresh))
        if again.lost or again.counts != reading.counts:
            raise XlvlaError(
                f"{part}: what was written anew holds less than could be read; it is left as it is"
            )
        if packed or reading.lost or not contents.own:
            _keep(part)
    if packed:
        part.unlink()
    return place.name


def _write(part: Path, contents: scan.Contents, fresh: Path) -> None:
    # Channels of one topic become one
    by_name = {topic.name: topic for topic in contents.topics.values()}
    topics = list(by_name.values())
    # The new file is forced to the disk once, before it replaces the old one
    writer = McapFile(fresh, topics, forced=False)
    for chunk in scan.messages(part, contents, scan.Losses()):
        for message in chunk:
            writer.add(
                message.topic, message.data, message.log_ns, message.sent_ns, message.sequence
            )
        writer.flush()

    def notes() -> Metadata:
        facts = FileFacts(part.name, writer.counts, *writer.span_ns)
        document = information([facts], topics, _distro())
        return Metadata("rosbag2", {"serialized_metadata": as_yaml(document)})

    writer.close(notes)


def _keep(path: Path) -> Path:
    """Gives a file a second name, with `.damaged` behind it, under which it stays."""
    kept = path.with_name(path.name + DAMAGED)
    number = 1
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}{DAMAGED}{number}")
    try:
        os.link(path, kept)
    # A file system without links
    except OSError:
        with files.replacing(kept) as fresh:
            shutil.copyfile(path, fresh)
    return kept


def _what_was_read(part: Path, name: str, contents: scan.Contents, reading: Reading) -> str:
    """A line on a file that was written anew: how much it holds, what is lost, what was kept."""
    count = f"{reading.counts.total()}"
    if contents.expected is not None:
        count += f" of {contents.expected}"
    line = f"{name} is whole again with {count} messages"
    if reading.lost:
        line += f", {'; '.join(reading.lost[:3])}"
    kept = sorted(path.name for path in part.parent.glob(f"{part.name}{DAMAGED}*"))
    if kept:
        line += f"; what it was is in {kept[-1]}"
    return line


def _describe(folder: Path, bag: Bag, facts: list[FileFacts]) -> None:
    """Writes `metadata.yaml`, and keeps the one that is there."""
    if (folder / METADATA).is_file():
        _keep(folder / METADATA)
    document = information(facts, list(bag.topics.values()), _distro())
    if any(file.name.endswith(PACKED) for file in facts):
        document |= {"compression_format": "zstd", "compression_mode": "FILE"}
    files.write_text(folder / METADATA, as_yaml({"rosbag2_bagfile_information": document}))


def _distro() -> str:
    """ROS's name of this installation; '' where there is none."""
    return os.environ.get("ROS_DISTRO", "")


def _correct_card(folder: Path, lost: list[str]) -> None:
    """Completes the card of an episode whose recorder was killed, and notes what was lost since."""
    try:
        card = read_episode_card(folder)
    # A bag of another recorder
    except XlvlaError:
        return
    issues: list[Issue] = []
    if card.state == "recording":
        issues.append(Issue("yellow", KILLED))
        about = description(folder)
        began_ns = about["starting_time"]["nanoseconds_since_epoch"]
        duration_ns = about["duration"]["nanoseconds"]
        card = replace(
            card,
            state="stopped",
            why=KILLED,
            began_ns=began_ns,
            ended_ns=began_ns + duration_ns,
        )
    for line in lost:
        issues.append(Issue("yellow", f"it was damaged and repaired: {line}"))
    if issues:
        _judged(folder, card, issues).write(folder)


def _judged(folder: Path, card: EpisodeCard, issues: list[Issue]) -> EpisodeCard:
    """The card with the verdict on what is there now, the issues of the repair and the earlier
    findings.
    """
    from xlvla_data.recorder.late_verdict import judged

    earlier = _earlier_issues(card)
    try:
        verdict, duration_s = judged(Bag(folder))
    except XlvlaError:
        unjudged = "its rig is not known here, so what is left of it was not judged"
        issues = [*issues, Issue("yellow", unjudged)]
        verdict = Verdict((), {}).beside([*issues, *earlier])
        worst = max(verdict.colour, card.verdict or "green", key=COLOURS.index)
        return replace(card, verdict=worst, findings=verdict.lines)
    verdict = verdict.beside([*issues, *earlier])
    return replace(
        card,
        verdict=verdict.colour,
        findings=verdict.lines,
        figures=dict(verdict.figures),
        duration_s=round(duration_s, 3),
    )


def _earlier_issues(card: EpisodeCard) -> list[Issue]:
    """The findings on a card, 'red: ...', as issues."""
    issues: list[Issue] = []
    for finding in card.findings:
        colour, _, line = str(finding).partition(": ")
        if colour in COLOURS:
            issues.append(Issue(colour, line))
    return issues
