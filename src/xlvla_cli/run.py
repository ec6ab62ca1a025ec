"""`xlvla run`: a rig on this machine, without ROS 2's own launch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla import rig_file
from xlvla_cli.dataclass_options import options_of
from xlvla_cli.options import Domain, RigArgument, listed
from xlvla_cli.rig_choices import RigChoices, with_choices

if TYPE_CHECKING:
    from rich.text import Text

    from xlvla.graph import NodeSpec
    from xlvla.network import Reach
    from xlvla.rig import Rig
    from xlvla.screen import Screen
    from xlvla_cli.ros.controls import Controls
    from xlvla_cli.ros.report import RunReport

FILM_SIZE = (640, 480)


def register(app: typer.Typer) -> None:
    app.command()(run)


@options_of(choices=RigChoices)
def run(
    rig: RigArgument = "bimanual",
    *,
    episodes: Annotated[
        int,
        typer.Option(min=0, help="Number of simulated episodes to run; 0 runs until Ctrl-C."),
    ] = 0,
    takes: Annotated[
        int,
        typer.Option(min=0, help="Number of recorded episodes to end after; 0 runs until Ctrl-C."),
    ] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for summary.json and video.mp4 of the episodes.")
    ] = None,
    domain: Domain = None,
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
    panel: Annotated[
        bool, typer.Option("--panel", help="Also serve the operator's page, as `xlvla panel` does.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also show the nodes' INFO logs.")
    ] = False,
    choices: Mapping[str, Any],
) -> None:
    """Run a rig: every node as a process of its own, until Ctrl-C or for some episodes."""
    from xlvla.network import reach

    if panel:
        refuse_panel_unless(episodes == 0)
    resolved = with_choices(rig_file.load(rig), RigChoices(**choices))
    specs = _specs(resolved, episodes, takes, out, listed(only), listed(without))
    environment = dict(os.environ)
    if domain is not None:
        environment["ROS_DOMAIN_ID"] = str(domain)
    scope = reach(resolved.network, environment, insisted="network" in choices)
    ready_or_raise(resolved, specs, scope)
    scope.apply(os.environ)
    if engage is None:
        engage = len(resolved.emulated) == len(resolved.parts)
    run = Run(resolved, specs, scope, domain, engage, episodes, takes, out, panel)
    _until_stopped(run, verbose)


def refuse_panel_unless(forever: bool) -> None:
    """Raises XlvlaError where there can be no panel."""
    from xlvla.errors import XlvlaError
    from xlvla_cli.panel.beside import refuse_unless_installed

    if not forever:
        raise XlvlaError("--panel is for a rig that runs until Ctrl-C: leave out --episodes")
    refuse_unless_installed()


@dataclass(frozen=True)
class Run:
    """What is run.

    Args:
        specs: the nodes that are started here.
        scope: which machines' nodes are received.
        domain: ROS domain; None keeps the environment's.
        engage: whether hardware is engaged once all nodes are up.
        episodes: simulated episodes to run; 0 runs until Ctrl-C.
        takes: recorded episodes to end after; 0 runs until Ctrl-C.
        out: folder for their report.
        panel: whether the operator's page is served beside it.
    """

    rig: Rig
    specs: list[NodeSpec]
    scope: Reach
    domain: int | None
    engage: bool
    episodes: int
    takes: int
    out: Path | None
    panel: bool = False


def _specs(
    rig: Rig,
    episodes: int,
    takes: int,
    out: Path | None,
    only: Sequence[str],
    without: Sequence[str],
) -> list[NodeSpec]:
    """The nodes to start here; refuses what does not go together."""
    from xlvla import graph
    from xlvla.errors import XlvlaError

    if takes and not rig.recorder:
        raise XlvlaError(
            f"--takes counts recorded episodes; rig '{rig.name}' has no `recorder`: add one"
        )
    if takes and episodes:
        raise XlvlaError("--takes counts recorded episodes, --episodes simulated ones: say one")
    if episodes and not (rig.sim and rig.policy):
        lacking = "policy" if rig.sim else "simulation"
        raise XlvlaError(
            f"--episodes needs a simulation that resets and a policy that acts; rig '{rig.name}' "
            f"has no {lacking}. --takes ends after so many recorded episodes, whoever acts"
        )
    if episodes and (only or without):
        raise XlvlaError("--episodes counts with every node here: leave out --only and --without")
    if out and not episodes:
        raise XlvlaError("--out is where episodes are reported: say how many with --episodes")
    return graph.chosen(rig, only, without)


def _until_stopped(run: Run, verbose: bool) -> None:
    """Ctrl-C and SIGTERM are how a rig normally ends."""
    from xlvla.run import interruptible
    from xlvla.screen import Screen

    with Screen(verbose=verbose) as screen:
        try:
            with interruptible():
                if run.episodes:
                    _episodes(run, screen)
                else:
                    _forever(run, screen)
        except KeyboardInterrupt:
            screen.say("stopped")


def _forever(run: Run, screen: Screen) -> None:
    from xlvla import graph
    from xlvla.screen import rig_line
    from xlvla_cli.keys import Keys
    from xlvla_cli.panel.beside import panel_beside
    from xlvla_cli.ros.controls import Controls
    from xlvla_cli.ros.remote_nodes import RemoteNodes
    from xlvla_cli.ros.session import Session
    from xlvla_cli.sound import play

    rig = run.rig
    elsewhere = [spec.name for spec in graph.nodes(rig) if spec not in run.specs]
    with (
        Session(
            rig, run.specs, domain=run.domain, listener=screen.on_output, progress=screen.waiting
        ) as session,
        Keys() as keys,
        panel_beside(rig, run.domain, screen.say) if run.panel else nullcontext(),
    ):
        controls = Controls(session.operator, rig)
        remote_nodes = RemoteNodes(session.operator.node, elsewhere, run.scope.network)
        hands = ", ".join(f"{side} {rig.hand(side).title}" for side in rig.sides)
        part = f" ({', '.join(spec.name for spec in run.specs)})" if elsewhere else ""
        legend = _legend(controls, rig) if keys.there else ""
        screen.say((rig.name, "bold"), f"{part} is up: {hands}. Ctrl-C ends it{legend}.")
        more = "" if run.scope.network else " --network lets other machines in."
        screen.say(f"It speaks {run.scope.line}.{more}")
        if not rig.sim and "motion" not in elsewhere:
            screen.say(_engaged(controls, run.engage))
        # Folders of the episodes that were recorded and kept.
        takes: set[str] = set()
        while True:
            status = session.tick()
            figures = session.operator.figures()
            if answer := controls.press(keys.pressed()):
                screen.say(answer)
            for line in session.operator.refused():
                screen.say((line, "yellow"))
            for line in [*remote_nodes.changes(), *session.silence.changes()]:
                screen.say(line)
            for sound, line in controls.cues():
                play(sound)
                screen.say(line)
            lines = [
                *_teleop_lines(controls, figures),
                *_recorder_lines(controls),
                *_device_lines(controls, figures),
            ]
            screen.now(rig_line(status, figures), *lines)
            recording = controls.recording()
            if recording.get("state") == "stopped":
                takes.add(recording["folder"])
            if run.takes and len(takes) >= run.takes:
                screen.say(f"takes recorded: {len(takes)}, the last in {recording['folder']}")
                return


def _legend(controls: Controls, rig: Rig) -> str:
    """What keys do; with those of the keyboard where it teleoperates."""
    from xlvla_drivers.teleop.keyboard import LEGEND

    legend = f"; {controls.legend}"
    if rig.teleop and rig.teleop.source == "keyboard":
        legend += f"; {LEGEND}"
    return legend


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

    lines: list[Text] = []
    for (side, part), status in controls.devices().items():
        own = figures.get(f"{side}_{part}", {})
        lines.append(device_line(f"{side} {part}", status.level, status.line, own))
    return lines


def _episodes(run: Run, screen: Screen) -> None:
    from xlvla_cli.ros.report import run_episodes, show, write

    out = run.out
    if out:
        out.mkdir(parents=True, exist_ok=True)
    report = run_episodes(run.rig, run.episodes, screen, domain=run.domain, record=out is not None)
    show([report], screen)
    if out:
        film([report], out / "video.mp4", screen)
        screen.say(f"written: {write(out, [report])}, {out / 'video.mp4'}")


def film(reports: list[RunReport], path: Path, screen: Screen) -> None:
    """Draws what was recorded, as a video; afterwards, for the robots need the processor before."""
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
                picture = replay.picture(moment.positions, *FILM_SIZE)
                video.add(picture, _caption(report, moment.status))
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
    from xlvla.network import absent_servers, reach
    from xlvla_cli.check import installation_faults

    scope = scope or reach(rig.network, os.environ)
    faults = installation_faults(rig, specs)
    fault = scope.fault or absent_servers(scope, os.environ)
    if fault:
        faults.append(fault)
    if not faults:
        faults = security.faults(rig, specs or graph.nodes(rig), os.environ)
    if faults:
        raise RigError(faults)
    if security.is_asked_for(os.environ):
        os.environ[security.OVERRIDE] = security.enclave(rig, security.OPERATOR)
