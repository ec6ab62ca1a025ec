"""`xlvla sim`: collect demonstrations, look at the expert."""

from __future__ import annotations

from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    path: Path


@sim.command()
def collect(
    out: Annotated[Path, typer.Option(help="Folder for the episodes.")],
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
    jobs = _jobs(rig, task, hands, episodes, mixed, seed, out)
    waiting = [job for job in jobs if not (job.path.exists() or _dropped(job.path).exists())]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress, _pool(workers) as pool:
        bar = progress.add_task("episodes", total=len(jobs), completed=len(jobs) - len(waiting))
        futures: list[Future[bool]] = [pool.submit(collect_one, job) for job in waiting]
        try:
            for future in as_completed(futures):
                future.result()
                progress.advance(bar)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    kept = sum(job.path.exists() for job in jobs)
    print(f"{kept} of {len(jobs)} episodes in {out}, {len(jobs) - kept} failed and were dropped")


def _jobs(rig: str, task: str, hands: str, episodes: int, mixed: float, seed: int, out: Path) -> list[Job]:
    """Episode k of the folder is seed + k with hands that depend on nothing else, so that collecting can be resumed or extended."""
    base, names, jobs = simulated_rig(rig, task), choose_hands(hands), []
    for number in range(seed, seed + episodes):
        rng = np.random.default_rng([number, 2])
        left = right = names[number % len(names)]
        if len(names) > 1 and rng.random() < mixed:
            right = str(rng.choice([name for name in names if name != left]))
        path = out / f"{task}-{left}-{right}-{number:06d}.npz"
        jobs.append(Job(base.with_choices(hands={"left": left, "right": right}), number, path))
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


def collect_one(job: Job) -> bool:
    """Plays and writes one episode; a failed one leaves an empty `.dropped` file so that it is not tried again."""
    from xlvla.codec import Codec
    from xlvla_data import episode as episodes
    from xlvla_sim.demonstration import demonstrate
    from xlvla_sim.expert import Expert
    from xlvla_sim.world import World

    key = tuple(job.rig.hand(side).name for side in job.rig.sides)
    if key not in _ready:
        _ready[key] = (World(job.rig), Expert(job.rig, Codec.load()))
    world, expert = _ready[key]
    job.path.parent.mkdir(parents=True, exist_ok=True)
    try:
        demonstration = demonstrate(world, expert, job.seed)
    except XlvlaError:  # an arm cannot follow
        demonstration = None
    if demonstration is None or not demonstration.good:
        _dropped(job.path).touch()
        return False
    episodes.write(job.path, _episode(job, world, expert, demonstration))
    return True


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
    jpeg = {camera: [_jpeg(image) for image in images] for camera, images in demonstration.images.items()}
    return Episode(info, jpeg, actions, demonstration.measured, latent)


def _jpeg(image: np.ndarray) -> bytes:
    import cv2

    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert done
    return data.tobytes()


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


def _dropped(path: Path) -> Path:
    return path.with_suffix(".dropped")


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
