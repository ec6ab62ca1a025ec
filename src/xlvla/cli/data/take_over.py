"""`xlvla data import`: data sets of others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xlvla.errors import XlvlaError
from xlvla.text import plain
from xlvla.types import CHUNK_HZ


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
    """Take over a data set of somebody else's, joints by name; frames are resampled, latents encoded, and everything is read back."""
    from rich.progress import track

    from xlvla import paper
    from xlvla.codec import Codec
    from xlvla.run import interruptible
    from xlvla_data import foreign, store
    from xlvla_data.convert import Limits, resampled
    from xlvla_data.lerobot.reader import Dataset

    named = paper.task(task) if task else ""
    names = foreign.read_map(map, hands=by_side("hands", hands), arms=by_side("arms", arms), task=named)
    data, codec, kept = Dataset(dataset), Codec.load(), store.Store(to, checked=True)
    there = {stored.key for stored in store.find(to)} if store.roots(to) else set[str]()
    put = 0
    with interruptible():
        for row, take in track(foreign.takes(data, names, rate), "episodes", total=len(data), transient=True):
            if f"{take.info.session}/{take.info.recording}" in there:
                continue
            try:
                episode, findings = resampled(take, codec, _ages(data.info.fps, Limits()))
                kept.add(episode)
            except XlvlaError as error:
                raise XlvlaError(f"episode {row.index}: {error}") from None
            put += 1
            for line in findings:
                print(plain(f"episode {row.index}: {line}"))
    print(f"{to}: {put} episodes taken over, {len(data) - put} were there before")


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
