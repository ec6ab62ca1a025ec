"""`xlvla run`: a rig on this machine, without ROS 2's own launch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla import rig_file

if TYPE_CHECKING:
    from rich.text import Text

    from xlvla.graph import NodeSpec
    from xlvla.network import Reach
    from xlvla.rig import Rig
    from xlvla.screen import Screen
    from xlvla.types import Side
    from xlvla_cli.ros.controls import Controls
    from xlvla_cli.ros.report import RunReport

FILM_SIZE = (640, 480)


def register(app: typer.Typer) -> None:
    app.command()(run)


def run(
    rig: Annotated[
        str, typer.Argument(help="A rig of the catalogue (`xlvla list`) or a rig's YAML file.")
    ] = "bimanual",
    left_hand: Annotated[
        str | None, typer.Option(help="Hand on the left arm instead of the rig's.")
    ] = None,
    right_hand: Annotated[
        str | None, typer.Option(help="Hand on the right arm instead of the rig's.")
    ] = None,
    sim: Annotated[
        bool | None,
        typer.Option("--sim/--no-sim", help="Simulation or hardware, overriding the rig."),
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="Policy instead of the rig's; none starts no policy.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option(help="Weights of the policy instead of the shipped ones.")
    ] = None,
    instruction: Annotated[str | None, typer.Option(help="The task instruction.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the first simulated episode.")] = None,
    speed: Annotated[
        float | None,
        typer.Option(min=0.0, help="Simulated seconds per second; 0 is as fast as possible."),
    ] = None,
    episodes: Annotated[
        int,
        typer.Option(min=0, help="Number of simulated episodes to run; 0 runs until Ctrl-C."),
    ] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for summary.json and video.mp4 of the episodes.")
    ] = None,
    domain: Annotated[
        int | None, typer.Option(min=0, max=101, help="ROS domain instead of ROS_DOMAIN_ID.")
    ] = None,
    engage: Annotated[
        bool | None,
        typer.Option(
            "--engage/--no-engage",
            help="Engage motion once all nodes are up; by default only for emulated devices.",
        ),
    ] = None,
    only: Annotated[
        str,
        typer.Option(
            help="Start only these nodes of the rig, separated by commas; the rest run elsewhere."
        ),
    ] = "",
    without: Annotated[
        str,
        typer.Option(help="Start all nodes but these, which run elsewhere: `--without policy`."),
    ] = "",
    network: Annotated[
        bool | None,
        typer.Option(
            "--network/--no-network",
            help="Accept nodes of other machines or not, overriding the rig and the shell.",
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also show the nodes' INFO logs.")
    ] = False,
) -> None:
    """Run a rig: every node as a process of its own, until Ctrl-C or for some episodes."""
    from xlvla.network import reach

    hands: dict[Side, str | None] = {"left": left_hand, "right": right_hand}
    choices = {
        "policy": policy,
        "checkpoint": checkpoint,
        "instruction": instruction,
        "seed": seed,
        "speed": speed,
        "network": network,
    }
    chosen = rig_file.with_choices(rig_file.load(rig), hands=hands, sim=sim, **choices)
    specs = _specs(chosen, episodes, out, _names(only), _names(without))
    scope = reach(
        chosen.network,
        os.environ | ({} if domain is None else {"ROS_DOMAIN_ID": str(domain)}),
        insisted=network is not None,
    )
    ready_or_raise(chosen, specs, scope)
    scope.apply(os.environ)
    if engage is None:
        engage = len(chosen.emulated) == len(chosen.parts)
    _until_stopped(chosen, specs, episodes, out, domain, verbose, engage, scope)


def _specs(
    rig: Rig, episodes: int, out: Path | None, only: list[str], without: list[str]
) -> list[NodeSpec]:
    """The nodes to start here; refuses what does not go together."""
    from xlvla import graph
    from xlvla.errors import XlvlaError

    if episodes and not (rig.sim and rig.policy):
        raise XlvlaError(
            "--episodes needs a simulation that resets and a policy that acts: leave out --no-sim "
            "and --policy none"
        )
    if episodes and (only or without):
        raise XlvlaError("--episodes counts with every node here: leave out --only and --without")
    if out and not episodes:
        raise XlvlaError("--out is where episodes are reported: say how many with --episodes")
    return graph.chosen(rig, only, without)


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",") if name.strip()]


def _until_stopped(
    rig: Rig,
    specs: list[NodeSpec],
    episodes: int,
    out: Path | None,
    domain: int | None,
    verbose: bool,
    engage: bool,
    scope: Reach,
) -> None:
    """Ctrl-C and SIGTERM are how a rig normally ends."""
    from xlvla.run import interruptible
    from xlvla.screen import Screen

    with Screen(verbose=verbose) as screen:
        try:
            with interruptible():
                if episodes:
                    _episodes(rig, episodes, out, domain, screen)
                else:
                    _forever(rig, specs, domain, screen, engage, scope)
        except KeyboardInterrupt:
            screen.say("stopped")


def _forever(
    rig: Rig, specs: list[NodeSpec], domain: int | None, screen: Screen, engage: bool, scope: Reach
) -> None:
    from xlvla import graph
    from xlvla.screen import rig_line
    from xlvla_cli.keys import Keys
    from xlvla_cli.ros.controls import Controls
    from xlvla_cli.ros.remote_nodes import RemoteNodes
    from xlvla_cli.ros.session import Session
    from xlvla_cli.sound import play

    elsewhere = [spec.name for spec in graph.nodes(rig) if spec not in specs]
    with (
        Session(
            rig, specs, domain=domain, listener=screen.on_output, progress=screen.waiting
        ) as session,
        Keys() as keys,
    ):
        controls = Controls(session.operator, rig)
        remote_nodes = RemoteNodes(session.operator.node, elsewhere, scope.network)
        hands = ", ".join(f"{side} {rig.hand(side).title}" for side in rig.sides)
        part = f" ({', '.join(spec.name for spec in specs)})" if elsewhere else ""
        typed = _typed_legend(rig) if keys.there else ""
        legend = f"; {controls.legend}{typed}" if keys.there else ""
        screen.say((rig.name, "bold"), f"{part} is up: {hands}. Ctrl-C ends it{legend}.")
        screen.say(
            f"It speaks {scope.line}."
            + ("" if scope.network else " --network lets other machines in.")
        )
        if not rig.sim and "motion" not in elsewhere:
            screen.say(_engaged(controls, engage))
        while True:
            status = session.tick()
            figures = session.operator.figures()
            if done := controls.press(keys.pressed()):
                screen.say(done)
            for line in session.operator.refused():
                screen.say((line, "yellow"))
            for line in [*remote_nodes.changes(), *session.silence.changes()]:
                screen.say(line)
            for word, line in controls.cues():
                play(word)
                screen.say(line)
            lines = [
                *_teleop_lines(controls, figures),
                *_recorder_lines(controls),
                *_device_lines(controls, figures),
            ]
            screen.now(rig_line(status, figures), *lines)


def _typed_legend(rig: Rig) -> str:
    """The keys of who drives by keyboard."""
    from xlvla_drivers.teleop.keyboard import LEGEND

    return f"; {LEGEND}" if rig.teleop and rig.teleop.source == "keyboard" else ""


def _engaged(controls: Controls, engage: bool) -> str:
    """Hardware moves only with --engage."""
    if engage:
        return f"motion: {controls.press('e')}"
    return "motion is not engaged, so the robot holds still: press e, or start with --engage"


def _teleop_lines(controls: Controls, figures: dict[str, dict[str, str]]) -> list[Text]:
    from xlvla.screen import teleop_line

    status = controls.following()
    return [teleop_line(status, figures.get("motion", {}))] if status else []


def _recorder_lines(controls: Controls) -> list[Text]:
    from xlvla.screen import recorder_line

    status = controls.recording()
    return [recorder_line(status)] if status else []


def _device_lines(controls: Controls, figures: dict[str, dict[str, str]]) -> list[Text]:
    from xlvla.screen import device_line

    return [
        device_line(f"{side} {part}", word.level, word.line, figures.get(f"{side}_{part}", {}))
        for (side, part), word in controls.devices().items()
    ]


def _episodes(
    rig: Rig, episodes: int, out: Path | None, domain: int | None, screen: Screen
) -> None:
    from xlvla_cli.ros.report import run_episodes, show, write

    if out:
        out.mkdir(parents=True, exist_ok=True)
    report = run_episodes(rig, episodes, screen, domain=domain, record=out is not None)
    show([report], screen)
    if out:
        film([report], out / "video.mp4", screen)
        screen.say(f"written: {write(out, [report])}, {out / 'video.mp4'}")


def film(reports: list[RunReport], path: Path, screen: Screen) -> None:
    """Draws what was recorded, as a video; afterwards, so that nothing but the robots had the
    processor meanwhile.
    """
    from xlvla.film import Film
    from xlvla.ros.topics import STATE_HZ
    from xlvla_sim.episode_renderer import Replay

    drawn = 0
    total = sum(len(report.moments) for report in reports)
    with Film(path, STATE_HZ) as video:
        for report in reports:
            replay = Replay(report.rig)
            seed = None
            for moment in report.moments:
                if moment.status["seed"] != seed:
                    seed = moment.status["seed"]
                    replay.begin(seed)
                video.add(
                    replay.picture(moment.positions, *FILM_SIZE), _caption(report, moment.status)
                )
                drawn += 1
                screen.now(f"drawing the video: {drawn}/{total}")
            replay.close()


def _caption(report: RunReport, status: dict[str, Any]) -> str:
    return f"{report.title}   seed {status['seed']}   {status['time_s']:4.1f} s   {status['text']}"


def ready_or_raise(
    rig: Rig, specs: list[NodeSpec] | None = None, scope: Reach | None = None
) -> None:
    """Raises RigError with everything this machine or shell lacks for these nodes of a rig (None:
    all), before anything starts.
    """
    from xlvla import graph, security
    from xlvla.errors import RigError
    from xlvla.network import reach
    from xlvla_cli.check import installation_faults

    scope = scope or reach(rig.network, os.environ)
    faults = installation_faults(rig, specs) + ([scope.fault] if scope.fault else [])
    faults = faults or security.faults(rig, specs or graph.nodes(rig), os.environ)
    if faults:
        raise RigError(faults)
    if security.is_asked_for(os.environ):
        os.environ[security.OVERRIDE] = security.enclave(rig, security.OPERATOR)
