"""`xlvla sim`: collect demonstrations, look at the expert."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.types import CHUNK_HZ, FIRST_EVALUATION_SEED, PARTS, Side

if TYPE_CHECKING:
    from xlvla_data.episode import Episode
    from xlvla_sim.demonstration import Demonstration
    from xlvla_sim.expert import Expert
    from xlvla_sim.world import World

sim = typer.Typer(no_args_is_help=True, help="Simulated worlds: collect demonstrations, look at the expert.")


def register(app: typer.Typer) -> None:
    app.add_typer(sim, name="sim")


@dataclass(frozen=True)
class Job:
    """One episode to collect."""

    rig: Rig
    seed: int


@sim.command()
def collect(
    out: Annotated[Path, typer.Option(help="Folder for the data sets, one per pair of hands.")],
    task: Annotated[str, typer.Option(help="Task to demonstrate.")] = "push_cans",
    hands: Annotated[str, typer.Option(help="Hands, separated by commas, or 'all'.")] = "xhand,inspire",
    episodes: Annotated[int, typer.Option(min=1, help="Episodes in all.")] = 100,
    mixed: Annotated[float, typer.Option(min=0, max=1, help="Share of episodes with two different hands.")] = 0.2,
    rig: Annotated[str, typer.Option(help="Rig to simulate.")] = "bimanual",
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="First seed.")] = 0,
) -> None:
    """Collect demonstrations of the scripted expert; episodes that are there already are skipped, failed ones dropped."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    if seed + episodes > FIRST_EVALUATION_SEED:
        raise XlvlaError(f"seeds from {FIRST_EVALUATION_SEED} on are kept for evaluation: choose a smaller --seed or fewer --episodes")
    jobs, ledger = _jobs(rig, task, hands, episodes, mixed, seed), Ledger(out)
    waiting = [job for job in jobs if job.seed not in ledger.done]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress, _pool(workers) as pool:
        bar = progress.add_task("episodes", total=len(jobs), completed=len(jobs) - len(waiting))
        try:
            for seed_done, episode in _played(pool, waiting, ahead=2 * workers):
                ledger.enter(seed_done, episode)
                progress.advance(bar)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    dropped = sum(job.seed in ledger.dropped for job in jobs)
    print(f"{len(jobs) - dropped} of {len(jobs)} episodes in {out}, {dropped} failed and were dropped")


class Ledger:
    """Which seeds a folder holds, and which were tried in vain."""

    def __init__(self, folder: Path):
        from xlvla_data import store

        self._store, self._file = store.Store(folder), folder / "dropped.json"
        there = store.find(folder) if store.roots(folder) else []
        self.dropped: set[int] = set(json.loads(self._file.read_text())) if self._file.is_file() else set()
        self.done = self.dropped | {stored.seed for stored in there}

    def enter(self, seed: int, episode: Episode | None) -> None:
        """Keeps an episode, or remembers that there is none with this seed."""
        from xlvla_data.lerobot import layout

        if episode is not None:
            self._store.add(episode)
        else:
            self.dropped.add(seed)
            layout.write_json(self._file, sorted(self.dropped))
        self.done.add(seed)


def _played(pool: ProcessPoolExecutor, jobs: Sequence[Job], ahead: int) -> Iterator[tuple[int, Episode | None]]:
    """Seeds and episodes as they are finished; at most `ahead` are under way, so that memory stays small."""
    queue, running = iter(jobs), dict[Future[Any], int]()
    while True:
        for job in itertools.islice(queue, ahead - len(running)):
            running[pool.submit(collect_one, job)] = job.seed
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future.result()


def _jobs(rig: str, task: str, hands: str, episodes: int, mixed: float, seed: int) -> list[Job]:
    """Episode k of the folder is seed + k with hands that depend on nothing else, so that collecting can be resumed or extended."""
    base, names, jobs = simulated_rig(rig, task), choose_hands(hands), []
    for number in range(seed, seed + episodes):
        rng = np.random.default_rng([number, 2])
        left = right = names[number % len(names)]
        if len(names) > 1 and rng.random() < mixed:
            right = str(rng.choice([name for name in names if name != left]))
        jobs.append(Job(base.with_choices(hands={"left": left, "right": right}), number))
    return jobs


def simulated_rig(rig: str, task: str) -> Rig:
    from xlvla import catalog
    from xlvla.errors import unknown
    from xlvla.rig import load

    base = load(rig)
    if base.sim is None:
        raise XlvlaError(f"rig '{rig}' has no `sim` section, so there is nothing to simulate")
    if task not in catalog.tasks():
        raise unknown("task", task, catalog.tasks())
    return replace(base, sim=replace(base.sim, task=task))


def choose_hands(choice: str) -> tuple[str, ...]:
    from xlvla import catalog

    return tuple(catalog.hands()) if choice == "all" else tuple(catalog.hand(name.strip()).name for name in choice.split(","))


_ready: dict[tuple[str, ...], tuple] = {}
"""The worlds of this worker process by hands: building one takes longer than resetting it."""


def collect_one(job: Job) -> Episode | None:
    """Plays one episode; None where it fails."""
    from xlvla.codec import Codec
    from xlvla_sim.demonstration import demonstrate
    from xlvla_sim.expert import Expert
    from xlvla_sim.world import World

    key = tuple(job.rig.hand(side).name for side in job.rig.sides)
    if key not in _ready:
        _ready[key] = (World(job.rig), Expert(job.rig, Codec.load()))
    world, expert = _ready[key]
    try:
        demonstration = demonstrate(world, expert, job.seed)
    except XlvlaError:  # an arm cannot follow
        return None
    return _episode(job, world, expert, demonstration) if demonstration.good else None


def _episode(job: Job, world: World, expert: Expert, demonstration: Demonstration) -> Episode:
    from xlvla_data.episode import Episode, EpisodeInfo

    rig, actions = job.rig, demonstration.script.actions
    info = EpisodeInfo(
        task=rig.sim.task if rig.sim else "",
        instruction=world.task.sentence,
        hands={side: rig.hand(side).name for side in rig.sides},
        joints={side: {part: rig.joint_names(side, part) for part in PARTS} for side in rig.sides},
        rate_hz=CHUNK_HZ,
        seed=job.seed,
        success=demonstration.status.success,
        codec=expert.codec.hash,
    )
    latent: dict[Side, np.ndarray] = {side: expert.codec.encode(rig.hand(side).name, side, actions[side]["hand"]) for side in rig.sides}
    return Episode(info, demonstration.images, actions, demonstration.measured, latent)


@sim.command()
def render(
    out: Annotated[Path, typer.Option(help="Folder for the pictures.")] = Path("out/sim"),
    task: Annotated[str, typer.Option(help="Task to show.")] = "push_cans",
    hands: Annotated[str, typer.Option(help="Hands, separated by commas, or 'all'.")] = "all",
    rig: Annotated[str, typer.Option(help="Rig to simulate.")] = "bimanual",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the episode.")] = 0,
) -> None:
    """Show the expert: per hand a video and a contact sheet of what the cameras see and of the scene."""
    import cv2

    from xlvla.codec import Codec
    from xlvla.film import Film
    from xlvla_sim.demonstration import demonstrate
    from xlvla_sim.expert import Expert
    from xlvla_sim.world import World

    out.mkdir(parents=True, exist_ok=True)
    base, codec = simulated_rig(rig, task), Codec.load()
    for name in choose_hands(hands):
        chosen = base.with_choices(hands=dict.fromkeys(base.sides, name))
        world, scene = World(chosen), []
        demonstration = demonstrate(world, Expert(chosen, codec), seed, watch=lambda world, scene=scene: scene.append(world.view(640, 480)))
        with Film(out / f"{task}-{name}.mp4", CHUNK_HZ) as film:
            for picture in scene:
                film.add(picture, f"{name}: {world.task.sentence}")
        rows = [_strip(images) for images in (*demonstration.images.values(), scene)]
        cv2.imwrite(str(out / f"{task}-{name}.png"), np.concatenate(rows)[..., ::-1])
        print(f"{name}: {demonstration.status.text}, {out / task}-{name}.mp4 and .png")
        world.close()


def _strip(images: list[np.ndarray], columns: int = 6) -> np.ndarray:
    """Pictures at even times side by side, two rows of 320 x 240."""
    import cv2

    chosen = [images[index] for index in np.linspace(0, len(images) - 1, 2 * columns).astype(int)]
    small = [cv2.resize(image, (320, 240), interpolation=cv2.INTER_AREA) for image in chosen]
    return np.concatenate([np.concatenate(small[:columns], axis=1), np.concatenate(small[columns:], axis=1)])


def _pool(workers: int) -> ProcessPoolExecutor:
    """Processes that end with this one, however it ends."""
    import multiprocessing
    import os

    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_follow, initargs=(os.getpid(),))


def _follow(parent: int) -> None:
    import os

    from xlvla.ros import supervision

    os.environ[supervision.PARENT] = str(parent)
    supervision.follow_parent()
