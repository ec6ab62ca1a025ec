"""`xlvla bench data`: how fast recordings become data sets, and data sets samples."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla.errors import XlvlaError
from xlvla.holdout import Holdout

if TYPE_CHECKING:
    from xlvla.screen import Screen
    from xlvla_data.episode import Episode


def register(app: typer.Typer) -> None:
    app.command("data")(data)


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    figure: str
    target: str = ""


def data(
    episodes: Annotated[
        int, typer.Option(min=1, help="Simulated episodes to record, convert and load.")
    ] = 3,
    hands: Annotated[str, typer.Option(help="Hand of both sides.")] = "xhand",
    seconds: Annotated[
        float, typer.Option(min=0.5, help="Duration of each run of drawing samples.")
    ] = 5.0,
    threads: Annotated[int, typer.Option(min=1, help="Processor threads of the loader.")] = 2,
) -> None:
    """Time the converter against real time and the training loader in samples per second, on
    simulated episodes.
    """
    from xlvla.run import interruptible
    from xlvla.screen import Screen
    from xlvla_cli.tables import table

    with Screen() as screen, interruptible(), tempfile.TemporaryDirectory() as folder:
        rows = list(_measure(Path(folder), episodes, hands, seconds, threads, screen))
        shown = table("Data", "what", "figure", "wanted")
        for row in rows:
            shown.add_row(row.what, row.figure, row.target)
        screen.console.print(shown)


def _measure(
    folder: Path, count: int, hands: str, seconds: float, threads: int, screen: Screen
) -> Iterator[Row]:
    screen.now("playing episodes in simulation")
    episodes = list(played(count, hands))
    height, width, _ = next(iter(episodes[0].pictures["front"])).shape
    duration_s = sum(episode.frames / episode.info.rate_hz for episode in episodes)

    screen.now("recording them")
    bags = recorded(episodes, folder / "recordings")
    yield Row("episodes", f"{count}, together {duration_s:.1f} s, a camera of {width}x{height}")

    screen.now("converting")
    conversion = converted(bags, folder / "data")
    speed = duration_s / conversion.wall_s
    speed_per_core = duration_s / conversion.processor_s
    yield Row(
        "convert, verified", f"{speed:.1f} x real time, {speed_per_core:.1f} per core", target="3"
    )
    for what, size in sizes(bags, conversion.root):
        yield Row(
            f"bytes per episode, {what}",
            f"{size / count / 1e6:.2f} MB, {size / duration_s / 1e3:.0f} kB/s",
        )

    screen.now("loading")
    yield from loaded(conversion.root, folder / "cache", seconds, threads)


def played(count: int, hands: str) -> Iterator[Episode]:
    """Successful episodes of the scripted expert."""
    from xlvla_cli.sim.collect import collect_one, jobs

    solved = 0
    for job in jobs("bimanual", ["push_cans"], [hands], 10 * count, 0.0, 0, Holdout()):
        outcome = collect_one(job)
        if not isinstance(outcome, str):
            yield outcome
            solved += 1
        if solved == count:
            return
    raise XlvlaError(
        f"the expert solved {solved} of {10 * count} episodes with {hands}: choose other --hands"
    )


def recorded(episodes: Sequence[Episode], folder: Path) -> list[Path]:
    """The bags of episodes, written as a recorder does."""
    from xlvla_data import bagged

    bags: list[Path] = []
    for number, episode in enumerate(episodes):
        bags.append(bagged.write(episode, folder / "session" / f"episode_{number:06d}"))
    return bags


@dataclass(frozen=True)
class Conversion:
    """A data set that was made of bags, and the wall and processor seconds it took."""

    root: Path
    wall_s: float
    processor_s: float


def converted(bags: Sequence[Path], folder: Path) -> Conversion:
    """Converts bags of the same joints, which become one data set."""
    from xlvla.codec import Codec
    from xlvla_cli.data.convert import Work
    from xlvla_data.convert import AgeLimits
    from xlvla_data.store import Store

    work = Work(Store(folder, checked=True), Codec.load(), AgeLimits(), 20, ())
    began_s = time.perf_counter()
    processor_began_s = time.process_time()
    roots = [work.one(bag)[0] for bag in bags]
    wall_s = time.perf_counter() - began_s
    processor_s = time.process_time() - processor_began_s
    return Conversion(roots[0], wall_s, processor_s)


def sizes(bags: Sequence[Path], root: Path) -> Iterator[tuple[str, int]]:
    """Bytes of the bags, and of the parts of their data set."""
    yield "recording", sum(_bytes(bag) for bag in bags)
    yield "videos", _bytes(root / "videos")
    yield "numbers", _bytes(root / "data")
    yield "tables", _bytes(root / "meta")


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def loaded(root: Path, cache: Path, seconds: float, threads: int) -> Iterator[Row]:
    """Samples per second of the training loader, with one camera."""
    from xlvla_policy.training import loading
    from xlvla_policy.training.recipe import usual
    from xlvla_policy.vla import config

    shape = replace(config.preset("pi0"), cameras=("front",))
    rates = loading.measure(
        [str(root)], shape, usual("pi0"), cache, seconds=seconds, threads=threads
    )
    picture = f"{shape.vision.width}x{shape.vision.height}"
    sample = f"{shape.frames}-frame chunks + a {picture} picture, {threads} threads"
    yield Row("pictures decoded, once", f"{rates.decoded:.0f} samples/s")
    yield Row("pictures found decoded", f"{rates.opened:.0f} samples/s")
    yield Row(f"samples, {sample}", f"{rates.taken:.0f} samples/s", "400")
    yield Row("the same, with training's augmentation", f"{rates.drawn:.0f} samples/s", "400")
