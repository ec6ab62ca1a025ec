"""`xlvla sim`: collect demonstrations, look at the expert, measure speed."""

from __future__ import annotations

from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from xlvla.errors import XlvlaError
from xlvla.rig import Rig

FIRST_EVALUATION_SEED = 1_000_000
"""Seeds from here on belong to evaluation and are never collected."""

sim = typer.Typer(no_args_is_help=True, help="Simulated worlds: collect demonstrations, look at the expert, measure speed.")


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
    with Progress(*columns) as progress, ProcessPoolExecutor(workers, mp_context=_spawn()) as pool:
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
    import numpy as np

    from xlvla import catalog
    from xlvla.rig import load

    names = tuple(catalog.hands()) if hands == "all" else tuple(catalog.hand(name.strip()).name for name in hands.split(","))
    base = load(rig)
    if base.sim is None:
        raise XlvlaError(f"rig '{rig}' is not simulated")
    base = replace(base, sim=replace(base.sim, task=task))
    jobs = []
    for number in range(seed, seed + episodes):
        rng = np.random.default_rng([number, 2])
        left = right = names[number % len(names)]
        if len(names) > 1 and rng.random() < mixed:
            right = str(rng.choice([name for name in names if name != left]))
        path = out / f"{task}-{left}-{right}-{number:06d}.npz"
        jobs.append(Job(base.with_choices(hands={"left": left, "right": right}), number, path))
    return jobs


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
    try:
        demonstration = demonstrate(world, expert, job.seed)
        success = demonstration.good
    except XlvlaError:
        success = False
    job.path.parent.mkdir(parents=True, exist_ok=True)
    if success:
        episodes.write(job.path, _episode(job, world, expert, demonstration))
    else:
        _dropped(job.path).touch()
    return success


def _episode(job: Job, world, expert, demonstration):
    from xlvla.types import PARTS
    from xlvla_data.episode import Episode, EpisodeInfo

    rig, actions = job.rig, demonstration.script.actions
    info = EpisodeInfo(
        task=rig.sim.task if rig.sim else "",
        instruction=world.task.sentence,
        hands={side: rig.hand(side).name for side in rig.sides},
        joints={side: {part: rig.joint_names(side, part) for part in PARTS} for side in rig.sides},
        rate_hz=20.0,
        seed=job.seed,
        success=demonstration.status.success,
        codec=expert.codec.hash,
    )
    latent = {side: expert.codec.encode(rig.hand(side).name, side, actions[side]["hand"]) for side in rig.sides}
    jpeg = {camera: [_jpeg(image) for image in images] for camera, images in demonstration.images.items()}
    return Episode(info, jpeg, actions, demonstration.measured, latent)


def _jpeg(image) -> bytes:
    import cv2

    done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert done
    return data.tobytes()


def _dropped(path: Path) -> Path:
    return path.with_suffix(".dropped")


def _spawn():
    import multiprocessing

    return multiprocessing.get_context("spawn")
