"""Plays a trial, wherever that is: worlds and policies of the last trials are kept, since making
one takes longer than resetting it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from xlvla.errors import XlvlaError
from xlvla.types import CHUNK_HZ
from xlvla_cli.eval.failure import UNDONE, kind_of, words
from xlvla_cli.eval.trial import Outcome, Result, Trial

if TYPE_CHECKING:
    import numpy as np

    from xlvla.policy import Policy
    from xlvla_cli.eval.episode_runner import EpisodeRunner
    from xlvla_sim.expert import Expert
    from xlvla_sim.world import World

Made = TypeVar("Made")
FILM_SIZE = (640, 480)


def play(trial: Trial) -> Result:
    """One trial from its start to its end."""
    if trial.actor == "expert":
        return _play_expert(trial)
    return _play_policy(trial)


def _play_policy(trial: Trial) -> Result:
    runner = _kept("runner", trial.rig, lambda: _runner(trial), trial.delay_s, trial.threads)
    outcome = runner.trial(trial.seed, settle=trial.film != "none")
    return Result(outcome, _film(trial, outcome, runner.world, runner.seen))


def _play_expert(trial: Trial) -> Result:
    from xlvla_sim.demonstration import demonstrate
    from xlvla_sim.witness import Witness

    world, expert = _kept("expert", trial.rig, lambda: _expert(trial), trial.film)
    seen: list[np.ndarray] = []
    witness: Witness | None = None

    def watch(world: World) -> None:
        nonlocal witness
        witness = witness or Witness(world)
        witness.look()
        seen.append(world.data.qpos.copy())

    try:
        shown = demonstrate(
            world,
            expert,
            trial.seed,
            watch=watch,
            pictures=False,
            miss_m=trial.miss_m,
        )
        success = shown.good
        status = shown.status
        text = shown.ending
    except XlvlaError as error:  # an arm cannot follow
        success = False
        status = world.status()
        text = str(error)
    # Where no way could be planned, nothing has happened.
    facts = (witness or Witness(world)).facts
    kind = kind_of(status, [stage.text for stage in world.task.stages], facts)
    if status.success and not success:
        kind = UNDONE
    outcome = Outcome(success, status.stage, round(world.time_s, 2), text, kind, words(facts))
    return Result(outcome, _film(trial, outcome, world, seen))


_last: dict[str, tuple[str, Any]] = {}
"""What this process made last, by kind, with what it was made for."""


def _kept(kind: str, rig: Any, make: Callable[[], Made], *more: Any) -> Made:
    wanted = json.dumps([asdict(rig), more], default=str, sort_keys=True)
    if kind not in _last or _last[kind][0] != wanted:
        _drop(kind)
        _last[kind] = wanted, make()
    return _last[kind][1]


def _drop(kind: str) -> None:
    """Frees what is kept before another is made, so that there never are two."""
    if kind not in _last:
        return
    _, kept = _last.pop(kind)
    if kind == "runner":
        kept.world.close()
    elif kind == "expert":
        world, _ = kept
        world.close()


def _runner(trial: Trial) -> EpisodeRunner:
    from xlvla_cli.eval.episode_runner import EpisodeRunner, load_policy

    assert trial.rig.policy is not None
    # A policy does not depend on world and task, so it is kept for all of them.
    without_task = replace(trial.rig.policy, instruction="Wait.")
    rig = replace(trial.rig, sim=None, policy=without_task)
    policy: Policy = _kept(
        "policy", rig, lambda: load_policy(trial.rig, trial.threads), trial.threads
    )
    return EpisodeRunner(trial.rig, trial.delay_s, trial.threads, policy)


def _expert(trial: Trial) -> tuple[World, Expert]:
    from xlvla.codec import Codec
    from xlvla_sim.expert import Expert
    from xlvla_sim.world import World

    return World(trial.rig, render=trial.film != "none"), Expert(trial.rig, Codec.load())


def _film(trial: Trial, outcome: Outcome, world: World, seen: Sequence[np.ndarray]) -> bytes | None:
    """What the world looked like, drawn afterwards from its positions; the world is where it ended
    then.
    """
    if not trial.films(outcome.success):
        return None
    import mujoco

    from xlvla.film import Film

    hands = " and ".join(trial.hands)
    caption = f"{hands}: {world.task.sentence} Seed {trial.seed}, {outcome.text}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        with Film(path, CHUNK_HZ) as film:
            for positions in seen:
                world.data.qpos[:] = positions
                mujoco.mj_forward(world.model, world.data)
                film.add(world.view(*FILM_SIZE), caption)
        return path.read_bytes()
