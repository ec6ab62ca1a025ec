"""`xlvla data import`: data sets of others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla.errors import XlvlaError
from xlvla.text import plain
from xlvla.types import CHUNK_HZ
from xlvla_cli.options import listed

if TYPE_CHECKING:
    from xlvla_data.convert import AgeLimits
    from xlvla_data.foreign import Foreign, Piece
    from xlvla_data.lerobot.layout import Info
    from xlvla_data.lerobot.reader import EpisodeRow
    from xlvla_data.name_map import Names


def register(app: typer.Typer) -> None:
    app.command("import")(import_dataset)


def import_dataset(
    dataset: Annotated[Path, typer.Argument(help="A LeRobot v3 data set whose joints have names.")],
    to: Annotated[
        Path, typer.Option(help="Folder for the data set; existing episodes are skipped.")
    ],
    map: Annotated[
        Path | None,
        typer.Option(
            help="YAML: hands, arms, task, joints (ours: theirs), cameras, degrees, scale, range."
        ),
    ] = None,
    hands: Annotated[
        str, typer.Option(help="Hands by side where the map does not say: left=xhand,right=xhand.")
    ] = "",
    arms: Annotated[
        str, typer.Option(help="Arms by side where the map does not say: left=xarm7,right=xarm7.")
    ] = "",
    task: Annotated[
        str, typer.Option(help="Its task where the map does not say, the paper's code or a name.")
    ] = "",
    rate: Annotated[
        int, typer.Option(min=1, help="Frames per second of the result; as many as the policy has.")
    ] = CHUNK_HZ,
) -> None:
    """Import a data set recorded elsewhere, joints by name; frames are resampled, latents encoded,
    and everything is read back.

    Numbers that mean nothing to xlvla are carried along; what cannot be is named in the last line.
    An episode that cannot be imported is left out with a line, and the exit code is then 1.
    """
    from rich.progress import track

    from xlvla import paper
    from xlvla.run import interruptible
    from xlvla_data import foreign, name_map
    from xlvla_data.lerobot import layout
    from xlvla_data.lerobot.reader import Dataset

    named = paper.task(task) if task else ""
    data = Dataset(dataset)
    state = data.info.vectors.get(layout.STATE)
    names = name_map.read_map(
        map,
        (state.names if state else None) or (),
        hands=by_side("hands", hands),
        arms=by_side("arms", arms),
        task=named,
    )
    report = ImportReport()
    lines = list[str]()
    work = Work(to, data.info.fps)
    with interruptible():
        theirs = foreign.Foreign(data, names, rate, work.most_s, _there(to, names))
        for row in track(data.episodes, "episodes", transient=True):
            lines += work.all(theirs, row, report)
    for line in (*lines, *theirs.notes):
        print(plain(line))
    left_out = ""
    if report.left_out:
        left_out += f", {report.left_out} left out"
    if report.frames:
        left_out += f", {report.frames} frames left out of others"
    if theirs.not_taken:
        listing = ", ".join(plain(name, 80) for name in theirs.not_taken)
        left_out += f"; {len(theirs.not_taken)} not taken over: {listing}"
    print(f"{to}: {report.put} episodes imported, {report.there} were there before{left_out}")
    if not data.episodes:
        raise XlvlaError(f"{dataset} has no episodes: nothing is imported")
    raise typer.Exit(1 if report.left_out else 0)


def _there(to: Path, names: Names) -> Info | None:
    """The data set that the episodes are added to, where it is there already."""
    from xlvla_data import store
    from xlvla_data.lerobot import layout

    root = store.root_of(to, names.task, names.hands)
    return layout.read_info(root) if (root / layout.INFO).is_file() else None


@dataclass
class ImportReport:
    """What became of the episodes."""

    put: int = 0
    there: int = 0
    left_out: int = 0
    frames: int = 0


class Work:
    """Puts episodes of another data set, at its rate [Hz], into a folder."""

    def __init__(self, to: Path, rate_hz: float):
        from xlvla.codec import Codec
        from xlvla_data import store
        from xlvla_data.convert import AgeLimits

        self._codec = Codec.load()
        self._kept = store.Store(to, checked=True)
        self._limits = _ages(rate_hz, AgeLimits())
        self._there = {stored.key for stored in store.there(to)}

    @property
    def most_s(self) -> float:
        """The largest age [s] of a frame's inputs."""
        return self._limits.camera_s

    def all(self, theirs: Foreign, row: EpisodeRow, report: ImportReport) -> Iterator[str]:
        """Imports an episode, in pieces where its instruction changes or something is missing; the
        lines to print about it.
        """
        try:
            pieces = theirs.parts(row)
        except XlvlaError as error:
            report.left_out += 1
            yield f"episode {row.index}: left out: {error}"
            return
        lost = row.length - sum(piece.end - piece.begin for piece in pieces)
        if pieces:
            report.frames += lost
        else:
            report.left_out += 1
        if lost or len(pieces) > 1:
            spans = [f"{piece.begin} to {piece.end - 1}" for piece in pieces]
            yield (
                f"episode {row.index}: cut where it is told something else, or rows or pictures "
                f"are missing; its pieces: frames {', '.join(spans) or 'none'}"
            )
        for piece in pieces:
            for line in self._one(theirs, piece, report):
                yield f"{piece.name}: {line}"

    def _one(self, theirs: Foreign, piece: Piece, report: ImportReport) -> list[str]:
        from xlvla_data.convert import resampled

        try:
            take = theirs.take(piece)
            if f"{take.info.session}/{take.info.recording}" in self._there:
                report.there += 1
                return []
            episode, findings = resampled(take, self._codec, self._limits)
            self._kept.add(episode)
        except XlvlaError as error:
            report.left_out += 1
            return [f"left out: {error}"]
        report.put += 1
        return findings


def by_side(option: str, text: str) -> dict[str, str]:
    """{'left': 'xhand'} of `left=xhand`."""
    names: dict[str, str] = {}
    for pair in listed(text):
        side, _, name = pair.partition("=")
        if not (side and name):
            raise XlvlaError(
                f"--{option} {text}: sides and names are wanted, as in left=xhand,right=xhand"
            )
        names[side.strip()] = name.strip()
    return names


def _ages(rate_hz: float, usual: AgeLimits) -> AgeLimits:
    """Limits under which frames of a data set of this rate are fresh."""
    from dataclasses import replace

    longest = max(usual.camera_s, 2.0 / rate_hz)
    return replace(usual, camera_s=longest, state_s=longest, command_s=longest)
