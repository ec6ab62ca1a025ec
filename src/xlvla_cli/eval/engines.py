"""Where trials are played: in this process, processes of this machine, a Ray cluster, or on the
ROS graph. All yield results as they come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from xlvla import rig_file
from xlvla.errors import XlvlaError, unknown
from xlvla_cli.eval.failure import UNTOLD
from xlvla_cli.eval.play import play
from xlvla_cli.eval.trial import Outcome, Result, Trial

if TYPE_CHECKING:
    from xlvla.screen import Screen
    from xlvla_cli.ros.session import Session

Played: TypeAlias = Iterator[tuple[Trial, Result]]
Engine: TypeAlias = Callable[[Sequence[Trial], int], Played]
"""Of trials, and how many may run at a time."""


def engine(name: str) -> Engine:
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)
    return ENGINES[name]


def local(trials: Sequence[Trial], workers: int) -> Played:
    """In this process, or in several of this machine."""
    if workers == 1:
        for trial in trials:
            yield trial, play(trial)
        return
    from xlvla_cli.workers import finished, pool

    with pool(workers) as processes:
        try:
            yield from finished(processes, play, trials, ahead=workers)
        except BaseException:
            processes.shutdown(wait=True, cancel_futures=True)
            raise


def ray(trials: Sequence[Trial], workers: int) -> Played:
    """On the Ray cluster that RAY_ADDRESS names, or one on this machine; every machine of it needs
    xlvla and the weights.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise XlvlaError("--engine ray needs 'ray': pip install 'xlvla[ray]'") from None
    import os

    if not ray.is_initialized():
        if os.environ.get("RAY_ADDRESS"):
            ray.init(log_to_driver=False)
        else:
            ray.init(log_to_driver=False, num_cpus=workers, include_dashboard=False)
    remote_play = ray.remote(num_cpus=1)(play)
    waiting = list(reversed(trials))
    running = dict[Any, Trial]()
    try:
        while waiting or running:
            while waiting and len(running) < 2 * workers:
                trial = waiting.pop()
                running[remote_play.remote(trial)] = trial
            for done in ray.wait(list(running))[0]:
                try:
                    yield running.pop(done), ray.get(done)
                except ray.exceptions.RayTaskError as error:
                    raise error.cause from None
    finally:
        for unfinished in running:
            ray.cancel(unfinished)
        ray.shutdown()


def through_ros(trials: Sequence[Trial], screen: Screen, domain: int) -> Played:
    """On the real graph, a rig after the other, as fast as its simulation's clock runs; episodes
    count up from the first seed.
    """
    from xlvla_cli.ros.session import Session
    from xlvla_cli.run import ready_or_raise

    if trials:
        ready_or_raise(trials[0].rig)
    for run in consecutive(trials):
        rig = rig_file.with_choices(run[0].rig, seed=run[0].seed)
        with Session(
            rig, domain=domain, listener=screen.on_output, progress=screen.waiting
        ) as session:
            for trial in run:
                yield trial, Result(_outcome(session, trial))


def _outcome(session: Session, trial: Trial) -> Outcome:
    from xlvla_cli.ros.session import EpisodeResult

    for status in session.episode():
        if isinstance(status, EpisodeResult):
            if status.seed != trial.seed:
                raise XlvlaError(
                    f"the simulation played seed {status.seed} instead of {trial.seed}"
                )
            time_s = round(status.duration_s, 2)
            kind = "" if status.success else UNTOLD
            return Outcome(status.success, status.stage, time_s, status.text, kind)
    raise AssertionError("an episode ends with its result")


def consecutive(trials: Sequence[Trial]) -> Iterator[list[Trial]]:
    """Runs of trials of one rig whose seeds count up by one."""
    run: list[Trial] = []
    for trial in trials:
        if run and (trial.mark, trial.seed) != (run[-1].mark, run[-1].seed + 1):
            yield run
            run = []
        run.append(trial)
    if run:
        yield run


ENGINES: Mapping[str, Engine] = {"local": local, "ray": ray}
