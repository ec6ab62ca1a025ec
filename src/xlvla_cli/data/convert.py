"""`xlvla data convert`: recordings into data sets."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla.errors import XlvlaError
from xlvla.text import plain
from xlvla.types import CHUNK_HZ
from xlvla_cli.options import CodecWeights, listed

if TYPE_CHECKING:
    from xlvla.codec import Codec
    from xlvla_data.convert import AgeLimits
    from xlvla_data.foreign_bag import BagMap
    from xlvla_data.store import Store

ENDING = 1 << 16
"""Bytes of the end of a recording's file, which tell it from any other."""


def register(app: typer.Typer) -> None:
    app.command("convert")(convert)


def convert(
    recordings: Annotated[
        list[Path],
        typer.Argument(help="Recorded episodes, sessions, or folders of sessions.", metavar="BAGS"),
    ],
    to: Annotated[
        Path,
        typer.Option(
            help="Folder for the data sets, one per task and pair of hands; existing ones are kept."
        ),
    ],
    red: Annotated[bool, typer.Option("--red", help="Also episodes whose verdict is red.")] = False,
    rate: Annotated[
        int, typer.Option(min=1, help="Frames per second; as many as the policy has.")
    ] = CHUNK_HZ,
    max_age: Annotated[
        str,
        typer.Option(
            help="Maximum age of a frame's inputs in seconds: camera=0.15,state=0.15,command=0.5; "
            "operator=0.5."
            ""
        ),
    ] = "",
    without: Annotated[
        str, typer.Option(help="Features to leave out: operator, observation.tactile, ...")
    ] = "",
    map: Annotated[
        Path | None,
        typer.Option(
            help="YAML for bags of others: hands, arms, state, action, cameras, joints. Without it "
            "one is proposed."
        ),
    ] = None,
    hands: Annotated[
        str, typer.Option(help="Hands by side for the proposal: left=xhand,right=xhand.")
    ] = "",
    arms: Annotated[
        str, typer.Option(help="Arms by side for the proposal: left=xarm7,right=xarm7.")
    ] = "",
    weights: CodecWeights = None,
) -> None:
    """Convert recordings into LeRobot data sets and read every frame back; an interrupted run goes
    on where it was.

    Discarded and red episodes are left out. An episode that cannot be trusted is refused with a
    line, and the exit code is then 1, as it is where no episode is left.
    """
    from xlvla.codec import Codec
    from xlvla.run import interruptible
    from xlvla_data import store

    limits = ages(max_age)
    left_out = listed(without)
    mapped = None
    if map is not None:
        from xlvla_data.foreign_bag import read_bag_map

        mapped = read_bag_map(map)
    else:
        _propose(recordings, hands, arms)
    with interruptible():
        there = {stored.key: stored.source for stored in store.there(to)}
        report = ConversionReport()
        kept = store.Store(to, checked=True)
        work = Work(kept, Codec.load(weights), limits, rate, left_out, mapped)
        found = _found(recordings) if mapped is None else _foreign(recordings)
        folders = list(dict.fromkeys(found))
        _all(folders, there, red, work, report)
    _say(report, to)
    nothing = not report.converted and not report.there
    raise typer.Exit(1 if report.refused or nothing else 0)


@dataclass
class ConversionReport:
    """What became of the recordings; `not_taken` is what bags of others have beside it."""

    converted: int = 0
    there: int = 0
    left_out: int = 0
    refused: int = 0
    recorded_s: float = 0.0
    spent_s: float = 0.0
    roots: set[Path] = field(default_factory=set[Path])
    not_taken: dict[str, None] = field(default_factory=dict[str, None])


@dataclass(frozen=True)
class Work:
    """How recordings are converted."""

    store: Store
    codec: Codec
    limits: AgeLimits
    rate_hz: int
    without: Sequence[str]
    mapped: BagMap | None = None

    def one(self, folder: Path, source: str = "") -> tuple[Path, float, list[str]]:
        """The data set an episode is in now, how long it is [s], and what is to be said of it."""
        from xlvla_data import foreign_bag
        from xlvla_data.bag.reader import Bag
        from xlvla_data.convert import resampled
        from xlvla_data.recorded import take

        if self.mapped is None:
            recorded = take(Bag(folder), self.rate_hz, self.without)
        else:
            recorded = foreign_bag.take(folder, self.mapped, self.rate_hz, source)
        episode, findings = resampled(recorded, self.codec, self.limits)
        episode = replace(episode, info=replace(episode.info, source=source))
        return self.store.add(episode), episode.frames / self.rate_hz, findings


def ages(text: str) -> AgeLimits:
    """Limits of `camera=0.2,operator=0.5`."""
    from xlvla.errors import unknown
    from xlvla_data.convert import AgeLimits
    from xlvla_data.recorded import OPERATOR, SENSED

    usual = dict[str, float]()
    others = dict[str, float]()
    known = ("camera", "state", "command", OPERATOR.strip("."), SENSED.strip("."))
    for word in listed(text):
        name, _, value = word.partition("=")
        if not name.startswith(known):
            raise unknown("stream", name, known)
        try:
            seconds = float(value)
        except ValueError:
            raise XlvlaError(
                f"--max-age {word}: a stream and seconds are wanted, as in camera=0.15"
            ) from None
        if name in known[:3]:
            usual[f"{name}_s"] = seconds
        else:
            others[name] = seconds
    return replace(AgeLimits(others=others), **usual)


def _found(folders: Sequence[Path]) -> Iterator[Path]:
    """The recorded episodes; those that our own recorder did not close are repaired first."""
    from xlvla_data.bag.reader import bags
    from xlvla_data.recorder.repair import repair_all

    for folder in folders:
        for attempt in repair_all(folder):
            became = "its recorder was killed"
            if attempt.repaired:
                became += "; repaired"
            name = f"{attempt.folder.parent.name}/{attempt.folder.name}"
            print(plain(f"{name}: {became}: {attempt.line}"))
        episodes = bags(folder)
        if not episodes:
            raise XlvlaError(
                f"no recorded episodes in {folder}: a session holds folders with an episode.json"
            )
        yield from episodes


def _foreign(folders: Sequence[Path]) -> Iterator[Path]:
    """The bags of others in these folders."""
    from xlvla_data import foreign_bag

    for folder in folders:
        found = foreign_bag.bags(folder)
        if not found:
            raise XlvlaError(f"no bags in {folder}: a bag is a folder with .mcap or .db3 files")
        yield from found


def _propose(folders: Sequence[Path], hands: str, arms: str) -> None:
    """Prints a map for the first bag where none of them is of our recorder; raises XlvlaError
    then.
    """
    from xlvla_cli.data.import_command import by_side
    from xlvla_data import foreign_bag
    from xlvla_data.bag.reader import bags
    from xlvla_data.map_proposal import proposal

    for folder in folders:
        theirs = foreign_bag.bags(folder)
        if theirs and not bags(folder):
            print(proposal(theirs[0], by_side("hands", hands), by_side("arms", arms)))
            raise XlvlaError(
                f"{theirs[0]} was not recorded by xlvla: save the map above, and say --map"
            )


def _all(
    folders: Sequence[Path], there: dict[str, str], red: bool, work: Work, report: ConversionReport
) -> None:
    from rich.progress import TextColumn

    from xlvla.screen import console
    from xlvla_cli.progress import progress_bar

    with progress_bar(console(), TextColumn("{task.fields[speed]}")) as progress:
        bar = progress.add_task("episodes", total=len(folders), speed="")
        for folder in folders:
            name = f"{folder.parent.name}/{folder.name}"
            for line in _one(folder, there, red, work, report):
                progress.console.print(plain(f"{name}: {line}"), soft_wrap=True)
            times_real = report.recorded_s / max(report.spent_s, 1e-9)
            progress.update(bar, advance=1, speed=f"{times_real:.1f} x real time")


def _one(
    folder: Path, there: dict[str, str], red: bool, work: Work, report: ConversionReport
) -> list[str]:
    """Converts an episode unless it is there or unfit; what is to be said of it."""
    folder = folder.resolve()
    key = f"{folder.parent.name}/{folder.name}"
    source = _fingerprint(folder)
    if work.mapped is not None:
        key += f"-{source}"
    if key in there:
        if there[key] in (
            "",
            source,
        ):  # data sets of older versions do not say what they were made of
            report.there += 1
            return []
        report.refused += 1
        return [
            f"refused: another recording called '{key}' is there already: rename the folder of "
            "this session"
        ]
    began = time.monotonic()
    try:
        if work.mapped is None:
            unfit = _unfit(folder, red)
            if unfit:
                report.left_out += 1
                return [unfit]
        root, seconds, findings = work.one(folder, source)
    except XlvlaError as error:
        report.refused += 1
        return [f"refused: {error}"]
    there[key] = source
    report.roots.add(root)
    report.converted += 1
    report.recorded_s += seconds
    report.spent_s += time.monotonic() - began
    if work.mapped is not None:
        from xlvla_data.foreign_bag import not_taken

        report.not_taken |= dict.fromkeys(not_taken(folder, work.mapped))
    return findings


def _unfit(folder: Path, red: bool) -> str:
    """Why an episode of our recorder is left out; '' where it is not."""
    from xlvla_data.bag.card import read_episode_card

    card = read_episode_card(folder)
    if card.state != "stopped":
        return f"left out: its state is '{card.state}', only what was stopped is converted"
    if card.verdict != "red" or red:
        return ""
    lines = [str(line).removeprefix("red: ") for line in card.findings[:2]]
    more = len(card.findings) - 2
    text = f"red, left out: {'; '.join(lines) or 'no issue is listed'}"
    return text + (f"; and {more} more issues" if more > 0 else "")


def _fingerprint(folder: Path) -> str:
    """Hash of how long a recording's files are and of their ends, which say how many messages there
    are and of when.
    """
    import hashlib

    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.mcap*"), *folder.glob("*.db3*")]):
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - ENDING))
            digest.update(f"{path.name} {size}".encode() + file.read())
    return digest.hexdigest()[:12]


def _say(report: ConversionReport, to: Path) -> None:
    counts = [f"{report.converted} converted"]
    if report.there:
        counts.append(f"{report.there} there before")
    if report.left_out:
        counts.append(f"{report.left_out} left out")
    if report.refused:
        counts.append(f"{report.refused} refused")
    print(f"{', '.join(counts)}: {to}")
    if report.converted:
        recorded = report.recorded_s / 60
        spent = report.spent_s / 60
        print(
            f"{recorded:.1f} min of recordings in {spent:.1f} min: {recorded / spent:.1f} x real "
            "time, every frame read back"
        )
    if report.not_taken:
        listing = ", ".join(plain(name, 80) for name in report.not_taken)
        print(f"{len(report.not_taken)} not taken over: {listing}")
