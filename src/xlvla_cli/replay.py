"""`xlvla replay`: a recorded episode, done again in simulation or by the robot."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla import rig_file
from xlvla_cli.options import Domain, Simulated

if TYPE_CHECKING:
    import numpy as np

    from xlvla.rig import Rig
    from xlvla.screen import Screen
    from xlvla.types import Side
    from xlvla_cli.ros.episode_player import TrackingError
    from xlvla_cli.ros.operator import Operator
    from xlvla_cli.ros.session import Session
    from xlvla_data.commanded_motion import Performance

SETTLED_S = 2.0
"""How long after the last command the simulation's task may still succeed."""


def register(app: typer.Typer) -> None:
    app.command()(replay)


def replay(
    episode: Annotated[
        str, typer.Argument(help="Folder of a recorded episode, or DATASET#NUMBER.")
    ],
    rig: Annotated[
        str | None,
        typer.Option(
            help="Rig that replays it; by default the one it was recorded on, else bimanual."
        ),
    ] = None,
    sim: Simulated = None,
    attach: Annotated[
        bool, typer.Option(help="Drive a rig that runs already, instead of starting one.")
    ] = False,
    engage: Annotated[
        bool,
        typer.Option(
            help="Engage motion on hardware; without it only simulated or emulated devices move."
        ),
    ] = False,
    domain: Domain = None,
) -> None:
    """Replay an episode: move slowly to its first pose, then play its commands; prints how well the
    robot followed.
    """
    from xlvla.run import interruptible
    from xlvla.screen import Screen
    from xlvla_data.commanded_motion import performance

    played = performance(episode)
    chosen = rig_for(played, rig, sim)
    played.refuse_unless_of(chosen)
    refuse_unless_meant(chosen, engage, attach)
    with Screen() as screen, interruptible():
        try:
            if attach:
                errors = attached(played, chosen, domain, screen, engage)
            else:
                errors = started(played, chosen, domain, screen)
        except KeyboardInterrupt:
            screen.say("stopped")
            return
        for error in errors:
            names = chosen.joint_names(error.side, error.part)
            recorded_rad = played.apart(error.side, names)
            screen.say(line(error, recorded_rad))


def rig_for(played: Performance, name: str | None, sim: bool | None) -> Rig:
    """The rig that replays: no other source drives it, and nothing is recorded."""
    from dataclasses import replace

    if name is not None:
        rig = rig_file.load(name)
    elif played.rig:
        rig = rig_file.from_document(dict(played.rig), played.name)
    else:
        rig = rig_file.with_choices(rig_file.load("bimanual"), hands=dict(played.hands))
    rig = rig_file.with_choices(rig, sim=sim, policy="none")
    rig = replace(rig, teleop=None, recorder=None)
    if rig.sim and played.seed is not None:
        rig = rig_file.with_choices(rig, seed=played.seed)
    return rig


def refuse_unless_meant(rig: Rig, engage: bool, attach: bool) -> None:
    """Raises XlvlaError where hardware would move that the operator did not ask to."""
    from xlvla.errors import XlvlaError

    emulated = len(rig.emulated) == len(rig.parts)
    if not (rig.sim or emulated or engage or attach):
        raise XlvlaError(
            f"rig '{rig.name}' is hardware, which moves only with --engage; --sim replays in "
            "simulation"
        )


def started(
    played: Performance, rig: Rig, domain: int | None, screen: Screen
) -> list[TrackingError]:
    """Starts the rig, replays, stops it."""
    from xlvla.ros import topics
    from xlvla_cli.ros.session import Session
    from xlvla_cli.run import ready_or_raise

    ready_or_raise(rig)
    with Session(rig, domain=domain, listener=screen.on_output, progress=screen.waiting) as session:
        if rig.sim:
            session.operator.reset(idle=session.supervisor.check)
        else:
            session.operator.call(topics.ENGAGE, session.supervisor.check, data=True)
        errors = driven(session.operator, played, rig, screen, session.supervisor.check)
        if rig.sim:
            screen.say(*outcome(session))
        return errors


def attached(
    played: Performance, rig: Rig, domain: int | None, screen: Screen, engage: bool
) -> list[TrackingError]:
    """Drives a rig that is already running; its simulation is not reset."""
    from xlvla.ros import topics
    from xlvla_cli.ros.operator import Operator

    with Operator(domain=domain, namespace=rig.namespace) as operator:
        if engage:
            operator.call(topics.ENGAGE, data=True)
        return driven(operator, played, rig, screen, lambda: None)


def driven(
    operator: Operator, played: Performance, rig: Rig, screen: Screen, idle: Callable[[], None]
) -> list[TrackingError]:
    """Replays on a running, engaged rig; calls `idle` all the while."""
    from xlvla.types import CHUNK_HZ
    from xlvla_cli.ros.episode_player import Replayer
    from xlvla_drivers.motion.home import way_home
    from xlvla_drivers.motion.sides import side_player

    def approach(side: Side, here: np.ndarray, there: np.ndarray) -> np.ndarray:
        velocity = side_player(rig, side).bounds.velocity
        return way_home(here, there, velocity, CHUNK_HZ)

    screen.say((played.name, "bold"), f": {played.instruction}")
    frames: dict[Side, np.ndarray] = {}
    for side in rig.sides:
        columns = played.ordered(side, rig)
        frames[side] = played.commanded[side][:, columns]
    return Replayer(operator, rig, idle).play(frames, approach, screen.say)


def outcome(session: Session) -> tuple[str | tuple[str, str], ...]:
    """The status of the simulation's task, once things have come to rest."""
    import time

    end_s = time.monotonic() + SETTLED_S
    status = session.tick()
    while time.monotonic() < end_s and not status.get("success"):
        status = session.tick()
    verdict = ("success", "green") if status.get("success") else ("not done", "red")
    return "the task: ", verdict, f" ({status.get('text', '')})"


def line(error: TrackingError, recorded_rad: float) -> str:
    """How well a part followed, beside how well it did when it was recorded."""
    return (
        f"{error.side} {error.part:<4} {error.rms_rad:.4f} rad from its commands in the mean "
        f"square, {error.largest_rad:.3f} at most ({error.joint}); {recorded_rad:.4f} when it was "
        "recorded"
    )
