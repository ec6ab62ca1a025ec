"""`xlvla data import`: data sets of others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla.errors import XlvlaError
from xlvla.text import plain
from xlvla.types import CHUNK_HZ

if TYPE_CHECKING:
    from xlvla_data.take import Take


def register(app: typer.Typer) -> None:
    app.command("import")(take_over)


def take_over(
    dataset: Annotated[Path, typer.Argument(help="A LeRobot v3 data set whose joints have names.")],
    to: Annotated[Path, typer.Option(help="Folder for the data set; episodes that are there are skipped.")],
    map: Annotated[Path | None, typer.Option(help="YAML: hands, arms, task, joints (ours: theirs), cameras, degrees, scale.")] = None,
    hands: Annotated[str, typer.Option(help="Hands by side where the map does not say: left=xhand,right=xhand.")] = "",
    arms: Annotated[str, typer.Option(help="Arms by side where the map does not say: left=xarm7,right=xarm7.")] = "",
    task: Annotated[str, typer.Option(help="Its task where the map does not say, the paper's code or a name.")] = "",
    rate: Annotated[int, typer.Option(min=1, help="Frames per second of the result; a policy is trained at 20.")] = CHUNK_HZ,
) -> None:
    """Take over a data set of somebody else's, joints by name; frames are resampled, latents encoded, and everything is read back.

    An episode that cannot be taken over is left out with a line, and the exit code is then 1.
    """
    from rich.progress import track

    from xlvla import paper
    from xlvla.run import interruptible
    from xlvla_data import foreign
    from xlvla_data.lerobot.reader import Dataset

    named = paper.task(task) if task else ""
    names = foreign.read_map(map, hands=by_side("hands", hands), arms=by_side("arms", arms), task=named)
    data, report = Dataset(dataset), Report()
    work = Work(to, data.info.fps)
    with interruptible():
        for row, read in track(foreign.takes(data, names, rate), "episodes", total=len(data), transient=True):
            for line in work.one(read, report):
                print(plain(f"episode {row.index}: {line}"))
    left_out = f", {report.left_out} left out" if report.left_out else ""
    print(f"{to}: {report.put} episodes taken over, {report.there} were there before{left_out}")
    raise typer.Exit(1 if report.left_out else 0)


@dataclass
class Report:
    """What became of the episodes."""

    put: int = 0
    there: int = 0
    left_out: int = 0


class Work:
    """Episodes of others that are put into a folder, of a data set of so many frames per second."""

    def __init__(self, to: Path, rate_hz: int):
        from xlvla.codec import Codec
        from xlvla_data import store
        from xlvla_data.convert import Limits

        self._codec, self._kept, self._limits = Codec.load(), store.Store(to, checked=True), _ages(rate_hz, Limits())
        self._there = {stored.key for stored in store.there(to)}

    def one(self, read: Callable[[], Take], report: Report) -> list[str]:
        """Takes over an episode unless it is there; what is to be said of it."""
        from xlvla_data.convert import resampled

        try:
            take = read()
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
    pairs = [word.strip().partition("=") for word in text.split(",") if word.strip()]
    if any(not (side and equals and name) for side, equals, name in pairs):
        raise XlvlaError(f"--{option} {text}: sides and names are wanted, as in left=xhand,right=xhand")
    return {side.strip(): name.strip() for side, _, name in pairs}


def _ages(rate_hz: int, usual):
    """Limits under which frames of so slow a data set are fresh."""
    from dataclasses import replace

    longest = max(usual.camera_s, 2.0 / rate_hz)
    return replace(usual, camera_s=longest, state_s=longest, command_s=longest)
