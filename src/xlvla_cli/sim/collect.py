"""`xlvla sim collect`: demonstrations of the scripted expert, of any tasks and hands, as LeRobot
data sets.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from xlvla import files, rig_file
from xlvla.errors import XlvlaError
from xlvla.holdout import Holdout
from xlvla.rig import Rig
from xlvla.text import plain
from xlvla.types import CHUNK_HZ, FIRST_EVALUATION_SEED, PARTS, Side
from xlvla_cli.options import Hands, SimulatedRig, Tasks, Workers
from xlvla_cli.sim import choose_hands, simulated_rig

if TYPE_CHECKING:
    from xlvla_data.episode import Episode
    from xlvla_sim.demonstration import Demonstration
    from xlvla_sim.expert import Expert
    from xlvla_sim.world import World

TRIED = 5
"""At most so many episodes are tried to tell what the others take."""

FEW = 10
"""No estimate is made of so few episodes for each process: they are soon there."""

WORLDS = 3
"""How many worlds a worker keeps: building one takes longer than resetting it."""


def register(app: typer.Typer) -> None:
    app.command("collect")(collect)


@dataclass(frozen=True)
class Job:
    """One episode to collect.

    Args:
        disturb: whether it is disturbed; None where none of its set is, so that the set need not
            say so.
    """

    rig: Rig
    seed: int
    disturb: bool | None = None

    @property
    def task(self) -> str:
        assert self.rig.sim is not None
        return self.rig.sim.task

    @property
    def hands(self) -> dict[Side, str]:
        return {side: self.rig.hand(side).name for side in self.rig.sides}

    @property
    def key(self) -> str:
        """What names the episode in its folder."""
        from xlvla_data.store import name_of

        return f"{name_of(self.task, self.hands)}/{self.seed}"


def collect(
    out: Annotated[
        Path, typer.Option(help="Folder for the data sets, one per task and pair of hands.")
    ],
    task: Tasks = "push_cans",
    hands: Hands = "xhand,inspire",
    episodes: Annotated[int, typer.Option(min=1, help="Episodes per task and hand.")] = 50,
    mixed: Annotated[
        float, typer.Option(min=0, max=1, help="Share of episodes with two different hands.")
    ] = 0.2,
    holdout: Annotated[str, typer.Option(help="Pairs to leave out: xhand:SC,inspire:PC.")] = "",
    rig: SimulatedRig = "bimanual",
    workers: Workers = 0,
    seed: Annotated[int, typer.Option(min=0, help="First seed.")] = 0,
    disturb: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of episodes in which arms and hands are led aside for short stretches, and "
            "looks and places vary more: they show the way back.",
        ),
    ] = 0.0,
) -> None:
    """Collect demonstrations of the scripted expert; episodes that are there already are skipped,
    failed ones dropped, counted and their reasons named. The exit code is 1 where none is left.
    """
    from xlvla import holdout as pairs
    from xlvla.paper import tasks as named
    from xlvla_cli.workers import cores

    all_jobs = jobs(
        rig, named(task), choose_hands(hands), episodes, mixed, seed, pairs.parse(holdout), disturb
    )
    if not all_jobs:
        raise XlvlaError(
            f"nothing to collect: --holdout {holdout} leaves no episode of these tasks"
        )
    collection = CollectionState(out)
    waiting = [job for job in all_jobs if job.key not in collection.done]
    began = time.monotonic()
    processes = workers or cores()
    left = waiting
    if len(waiting) > FEW * processes:
        left = try_first(waiting, collection, out, processes)
    _play(all_jobs, left, collection, processes)
    minutes = (time.monotonic() - began) / 60
    _report(all_jobs, collection, out)
    if waiting:
        print(
            f"{len(waiting)} episodes in {minutes:.1f} min: {len(waiting) / minutes:.1f} per minute"
        )
    if all(job.key in collection.dropped for job in all_jobs):
        raise XlvlaError(
            f"no demonstration succeeded: choose another --task, --hands or --rig; where they were "
            f"mended, delete {collection.file} and all are tried again"
        )


def jobs(
    rig: str,
    tasks: Sequence[str],
    hands: Sequence[str],
    episodes: int,
    mixed: float,
    seed: int,
    holdout: Holdout,
    disturb: float = 0.0,
) -> list[Job]:
    """Episode k of a task is seed + k with hands that depend on nothing else, so that collecting
    can be resumed or extended. Whether it is disturbed depends on it and on the share of those that
    are.
    """
    last = seed + episodes * len(hands)
    if last > FIRST_EVALUATION_SEED:
        raise XlvlaError(
            f"seeds from {FIRST_EVALUATION_SEED} on are kept for evaluation: choose a smaller "
            "--seed or fewer --episodes"
        )
    all_jobs: list[Job] = []
    for task in tasks:
        base = simulated_rig(rig, task)
        rigs = dict[tuple[str, str], Rig]()
        task_jobs = list[Job]()
        for number in range(seed, last):
            rng = np.random.default_rng([number, 2])
            left = hands[number % len(hands)]
            right = left
            if len(hands) > 1 and rng.random() < mixed:
                right = str(rng.choice([name for name in hands if name != left]))
            if holdout.keeps((left, right), task):
                # Every pair's rig is described once: that takes longer than all else here.
                if (left, right) not in rigs:
                    rigs[left, right] = _with_hands(base, left, right)
                task_jobs.append(Job(rigs[left, right], number, _is_disturbed(number, disturb)))
        # By hands, so that a worker seldom needs another world.
        all_jobs += sorted(task_jobs, key=lambda job: list(job.hands.values()))
    return all_jobs


def _is_disturbed(number: int, share: float) -> bool | None:
    if not share:
        return None
    return bool(np.random.default_rng([number, 4]).random() < share)


def _with_hands(base: Rig, left: str, right: str) -> Rig:
    pair: dict[Side, str] = {"left": left, "right": right}
    worn: dict[Side, str | None] = {side: pair[side] for side in base.sides}
    return rig_file.with_choices(base, hands=worn)


class CollectionState:
    """Which episodes a folder holds, and why others were dropped, by their jobs' keys."""

    def __init__(self, folder: Path):
        from xlvla_data import store

        self._store = store.Store(folder)
        self.file = folder / "dropped_episodes.json"
        self.dropped = _read_dropped(self.file)
        self.done = {*self.dropped, *(stored.key for stored in store.there(folder))}

    def enter(self, key: str, outcome: Episode | str) -> None:
        """Keeps an episode, or remembers why there is none of this key."""
        from xlvla_data.lerobot import layout

        if isinstance(outcome, str):
            self.dropped[key] = outcome
            layout.write_json(self.file, dict(sorted(self.dropped.items())))
        else:
            self._store.add(outcome)
        self.done.add(key)


def _read_dropped(file: Path) -> dict[str, str]:
    """Why episodes were dropped, by key; older versions wrote their keys only."""
    if not file.is_file():
        return {}
    with files.reading_card(file):
        dropped = json.loads(file.read_text())
        if isinstance(dropped, list):
            return {str(key): "failed in an earlier run" for key in dropped}
        return {str(key): str(reason) for key, reason in dropped.items()}


def try_first(
    waiting: Sequence[Job], collection: CollectionState, out: Path, workers: int
) -> Sequence[Job]:
    """Collects the first episodes, and says by them what the others take, which are returned."""
    from xlvla import screen
    from xlvla_cli.sim.estimate import Estimate, estimate, refuse_full, size_of
    from xlvla_sim.world import load_task

    limits_s = {task: load_task(task).time_limit_s for task in {job.task for job in waiting}}
    played = 0
    estimated: Estimate | None = None
    with screen.console().status("the first episodes tell what the others take"):
        while played < TRIED and estimated is None:
            job = waiting[played]
            before = size_of(out) if out.is_dir() else 0
            began = time.monotonic()
            collection.enter(job.key, collect_one(job))
            tried = Estimate(time.monotonic() - began, size_of(out) - before)
            played += 1
            # The first one of a world takes the building of it, too.
            if played > 1 and job.key not in collection.dropped:
                limits_left = [limits_s[other.task] for other in waiting[played:]]
                estimated = estimate(tried, limits_s[job.task], limits_left, workers)
    left = waiting[played:]
    if estimated is None:
        few = f"too few of the first {played} episodes succeeded"
        print(f"{few}: what the others take is not known", flush=True)
    else:
        print(estimated.line(len(left), workers, refuse_full(out, estimated)), flush=True)
    return left


def _play(
    made: Sequence[Job], waiting: Sequence[Job], collection: CollectionState, workers: int
) -> None:
    from rich.console import Console

    from xlvla_cli.progress import progress_bar
    from xlvla_cli.workers import finished, pool

    with progress_bar(Console()) as progress, pool(workers) as processes:
        bar = progress.add_task("episodes", total=len(made), completed=len(made) - len(waiting))
        try:
            for job, outcome in finished(processes, collect_one, waiting, ahead=2 * workers):
                collection.enter(job.key, outcome)
                progress.advance(bar)
        except BaseException:
            processes.shutdown(wait=True, cancel_futures=True)
            raise


def _report(made: Sequence[Job], collection: CollectionState, out: Path) -> None:
    """What is there of every task and pair of hands, where it is more than one."""
    from rich.table import Table

    from xlvla import screen

    tried = Counter((job.task, "+".join(dict.fromkeys(job.hands.values()))) for job in made)
    failed = Counter(
        (job.task, "+".join(dict.fromkeys(job.hands.values())))
        for job in made
        if job.key in collection.dropped
    )
    table = Table("task", "hands", "episodes", "failed")
    for (task, hands), count in tried.items():
        table.add_row(task, hands, str(count - failed[task, hands]), str(failed[task, hands]))
    if len(tried) > 1:
        screen.console().print(table)
    dropped = failed.total()
    print(
        f"{len(made) - dropped} of {len(made)} episodes in {out}, {dropped} failed and were dropped"
    )
    reasons = collection.dropped
    for line in _reasons({job.key: reasons[job.key] for job in made if job.key in reasons}):
        print(plain(line))


def _reasons(dropped: Mapping[str, str]) -> Iterator[str]:
    """Why episodes were dropped, a line for those whose reasons differ in their numbers only."""
    alike: dict[str, list[str]] = {}
    for key, reason in dropped.items():
        alike.setdefault(re.sub(r"[-\d.]+", "0", reason), []).append(key)
    for keys in sorted(alike.values(), key=len, reverse=True):
        yield f"{len(keys)} dropped, such as {keys[0]}: {dropped[keys[0]]}"


_ready: OrderedDict[str, tuple[World, Expert]] = OrderedDict()
"""The last worlds of this worker process by task and hands."""


def collect_one(job: Job) -> Episode | str:
    """Plays one episode; where it fails, why."""
    from xlvla_sim.demonstration import demonstrate

    world, expert = world_of(job)
    try:
        demonstration = demonstrate(world, expert, job.seed, disturb=bool(job.disturb))
    except XlvlaError as error:  # an arm cannot follow
        return str(error)
    if not demonstration.good:
        return demonstration.ending
    return _episode(job, world, expert, demonstration)


def world_of(job: Job) -> tuple[World, Expert]:
    """The world and the expert of a job's task and hands; this process keeps the last `WORLDS`."""
    from xlvla.codec import Codec
    from xlvla_sim.expert import Expert
    from xlvla_sim.world import World

    place = job.key.rpartition("/")[0]
    if place not in _ready:
        while len(_ready) >= WORLDS:
            _ready.popitem(last=False)[1][0].close()
        _ready[place] = (World(job.rig), Expert(job.rig, Codec.load()))
    _ready.move_to_end(place)
    return _ready[place]


def _episode(job: Job, world: World, expert: Expert, demonstration: Demonstration) -> Episode:
    from xlvla_data.episode import Episode, EpisodeInfo

    rig = job.rig
    actions = demonstration.script.actions
    info = EpisodeInfo(
        task=job.task,
        instruction=world.task.sentence,
        hands=job.hands,
        joints={side: {part: rig.joint_names(side, part) for part in PARTS} for side in rig.sides},
        rate_hz=CHUNK_HZ,
        seed=job.seed,
        success=demonstration.status.success,
        codec=expert.codec.hash,
        disturbed=None if job.disturb is None else demonstration.disturbances,
    )
    executed = {} if job.disturb is None else demonstration.executed.actions
    latent: dict[Side, np.ndarray] = {
        side: expert.codec.encode(rig.hand(side).name, side, actions[side]["hand"])
        for side in rig.sides
    }
    return Episode(
        info, demonstration.images, actions, demonstration.measured, latent, executed=executed
    )
