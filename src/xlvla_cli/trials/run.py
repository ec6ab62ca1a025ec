"""`xlvla trials run`: the next trials, on a rig that runs."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla import rig_file
from xlvla.errors import XlvlaError, unknown
from xlvla_cli.options import Domain
from xlvla_cli.trials import Folder
from xlvla_cli.trials.new import how_to_go_on, rig_path
from xlvla_cli.trials.score import scored_with
from xlvla_cli.trials.series import Series, Trial, load

if TYPE_CHECKING:
    from xlvla.rig import Rig
    from xlvla.screen import Screen
    from xlvla_cli.ros.trial_desk import PolicyProcess, TrialDesk
    from xlvla_cli.trials.judges import Judge
    from xlvla_sim.setting import Setting
    from xlvla_sim.task import Task

JUDGES = ("person", "simulation")

STALLED_S = 60.0
"""A simulation that stands still for so long has failed."""

SHOWN_S = 0.25
"""Between two pictures of the scene."""


def register(app: typer.Typer) -> None:
    app.command("run")(run)


def run(
    folder: Folder,
    judge: Annotated[
        str,
        typer.Option(
            help="Who scores: person, at this terminal, or simulation, which also sets the scenes."
        ),
    ] = "person",
    most: Annotated[int, typer.Option(min=0, help="End after so many trials; 0 is all.")] = 0,
    domain: Domain = None,
) -> None:
    """Run and score the next trials on a rig that runs without a policy; interrupted, the same
    command goes on.
    """
    from xlvla import security
    from xlvla.network import reach
    from xlvla.run import interruptible
    from xlvla.screen import Screen

    if judge not in JUDGES:
        raise unknown("judge", judge, JUDGES)
    series = load(folder)
    trial = series.next
    if trial is None:
        typer.echo(how_to_go_on(folder, series))
        return
    path = rig_path(folder, trial.task, trial.hands)
    rig = rig_file.load(path)
    if judge == "simulation" and not (rig.sim or rig.mirrored):
        raise XlvlaError("these trials are of a real robot: only a person can score them")
    scope = reach(rig.network, os.environ)
    scope.apply(os.environ)
    if security.is_asked_for(os.environ):
        os.environ[security.OVERRIDE] = security.enclave(rig, security.OPERATOR)
    with Screen() as screen, interruptible():
        try:
            _trials(series, folder, rig, judge, most, domain, screen)
        except KeyboardInterrupt:
            screen.say(f"stopped; `xlvla trials run {folder}` goes on from there")


def _trials(
    series: Series,
    folder: Path,
    rig: Rig,
    judge_name: str,
    most: int,
    domain: int | None,
    screen: Screen,
) -> None:
    """Plays and scores trials of one block."""
    from xlvla_cli.ros.operator import Operator
    from xlvla_cli.ros.trial_desk import TrialDesk
    from xlvla_cli.trials.judges import Person, Simulation

    trial = series.next
    assert trial is not None
    block = trial.block
    played = 0
    with Operator(domain=domain, namespace=rig.namespace) as operator, contextlib.ExitStack() as at:
        desk = TrialDesk(operator, rig)
        judge: Judge = Simulation()
        if judge_name == "person":
            judge = at.enter_context(Person(screen, desk.controls.press))
        desk.refuse_unless_fit(f"xlvla run {rig_path(folder, *block)}")
        while trial is not None and trial.block == block:
            Session(series, trial, folder, rig, domain, desk, judge, screen).go()
            played += 1
            series = load(folder)
            trial = series.next
            if most and played == most:
                break
    left = len(series.trials) - len(series.scored)
    screen.say(f"{len(series.scored)} of {len(series.trials)} trials are scored")
    if left and trial is not None and trial.block != block:
        screen.say("the next trials are of another task or of other hands")
    if left == 0 or (trial is not None and trial.block != block):
        screen.say(how_to_go_on(folder, series))


@dataclass
class Session:
    """One trial, from its scene to its score."""

    series: Series
    trial: Trial
    folder: Path
    rig: Rig
    domain: int | None
    desk: TrialDesk
    judge: Judge
    screen: Screen

    def go(self) -> None:
        """Plays the trial, unless it only waits for its score, and has it scored."""
        from xlvla_sim.world import load_task

        task = load_task(self.trial.task)
        if self.trial.state == "ended":
            self.screen.say(f"{self._name}: was played, and is not scored yet")
        else:
            self._play(task)
        self._score(task)

    @property
    def _name(self) -> str:
        return f"trial {self.trial.number} of {len(self.series.trials)}"

    def _keep(self, trial: Trial) -> None:
        """What is kept is on disk when this returns; others may have corrected an earlier trial."""
        self.trial = trial
        self.series = load(self.folder).with_trial(trial)
        self.series.save(self.folder)

    def _play(self, task: Task) -> None:
        from xlvla.run import NodeDied
        from xlvla_cli.ros.trial_desk import PolicyProcess
        from xlvla_cli.trials.contenders import acting, refuse_changed

        contender = self.series.contenders[self.trial.contender]
        refuse_changed(contender)
        self.screen.say((f"{self._name}: {task.sentence}", "bold"))
        if self.trial.state == "begun":
            self.screen.say("it was interrupted, and is played again")
        log = self.folder / "logs" / f"trial_{self.trial.number:03d}.log"
        rig = acting(self.rig, contender, task.sentence)
        self.desk.hold()
        try:
            # It loads while the scene is set.
            with PolicyProcess(rig, self.domain, log) as policy:
                self._set_scene(task, policy)
                self._drive(task, policy)
        except NodeDied:
            # Its words would tell who it is.
            raise XlvlaError(
                f"the policy of {self._name} ended: {log} says why, and which policy it is"
            ) from None

    def _set_scene(self, task: Task, policy: PolicyProcess) -> None:
        """Sees to it that the robot is home, the things are at their places and the policy is
        there.
        """
        desk = self.desk
        desk.operator.instruct(task.sentence)
        if not self.rig.sim:
            self.judge.wait(
                "Clear the way, then press Enter: the robot goes home.",
                self._look(policy),
                lambda: desk.engaged,
            )
            desk.go_home()
        if desk.simulated:
            desk.operator.reset_to(self.trial.scene, policy.check)
        setting = self._setting(task)
        page = self._write_page(task, setting)
        self.screen.say(f"where things belong: {page.resolve().as_uri()}")
        if unseen := setting.unseen():
            self.screen.say((f"no camera sees the {', '.join(unseen)}", "yellow"))
        self.judge.wait(
            "Set the scene, then press Enter: the policy drives. Enter ends the trial.",
            self._look(policy, setting),
            lambda: desk.engaged,
        )
        self.screen.now("waiting for the policy")
        policy.wait_ready()

    def _setting(self, task: Task) -> Setting:
        from xlvla_sim.setting import Setting

        return Setting(self.rig, task, self.trial.scene, simulated=self.desk.simulated)

    def _write_page(self, task: Task, setting: Setting) -> Path:
        from xlvla_cli.trials.scene_page import write_page

        places: list[tuple[str, float, float, float]] = []
        for place in setting.places:
            x, y, _ = place.xyz
            places.append((place.name, float(x), float(y), place.yaw))
        line = "Set every thing into its outline."
        return write_page(self.folder, f"{self._name}: {task.sentence}", line, places)

    def _look(self, policy: PolicyProcess, setting: Setting | None = None) -> Callable[[], str]:
        """Looks at the rig, and shows the scene where there is one to be set."""
        from xlvla_cli.trials.scene_page import write_picture

        shown_s = 0.0

        def look() -> str:
            nonlocal shown_s
            policy.check()
            self.desk.look()
            now_s = time.monotonic()
            if setting is not None and now_s > shown_s + SHOWN_S:
                shown_s = now_s
                write_picture(self.folder, setting.over(self.desk.pictures))
            return f"motion: {self.desk.motion.get('state', 'not heard of')}"

        return look

    def _drive(self, task: Task, policy: PolicyProcess) -> None:
        """Lets the policy drive until the trial is over; whatever happens, the robot holds then."""
        desk = self.desk
        self._keep(replace(self.trial, state="begun", attempts=self.trial.attempts + 1))
        if desk.simulated:
            # Anew, since its time has run on.
            desk.operator.reset_to(self.trial.scene, policy.check)
        recording = desk.begin_recording()
        began_s = time.monotonic()
        try:
            desk.let_policy_drive()
            end = self._until_over(task, policy)
        finally:
            desk.hold()
            time_s = time.monotonic() - began_s
            with contextlib.suppress(XlvlaError):
                desk.end_recording()
        status = self._simulation()
        ended = replace(
            self.trial,
            state="ended",
            time_s=round(float(status.get("time_s", time_s)), 2),
            end=end,
            recording=self._place(recording),
            stage=float(status.get("stage", 0.0)),
            success=bool(status.get("success", False)),
        )
        self._keep(ended)
        self.screen.say(f"{self._name} is over after {ended.time_s:.1f} s: {end}")

    def _until_over(self, task: Task, policy: PolicyProcess) -> str:
        """Why it is over."""
        desk = self.desk
        began_s = time.monotonic()
        moved_s, last_s = began_s, -1.0
        look_at_rig = self._look(policy)

        def look() -> str:
            line = look_at_rig()
            return f"{time.monotonic() - began_s:5.1f} of {task.time_limit_s:.0f} s, {line}"

        while not self.judge.over(look):
            if not desk.engaged:
                return f"motion: {desk.motion.get('state', 'not heard of')}"
            status = self._simulation()
            if status.get("done"):
                return str(status["text"])
            if status.get("time_s") != last_s:
                moved_s, last_s = time.monotonic(), status.get("time_s")
            if desk.simulated and time.monotonic() > moved_s + STALLED_S:
                raise XlvlaError(f"the simulation has stood still for {STALLED_S:.0f} s")
            if not desk.simulated and time.monotonic() - began_s > task.time_limit_s:
                return "time is over"
        return "ended by hand"

    def _simulation(self) -> dict[str, Any]:
        return self.desk.operator.status() if self.desk.simulated else {}

    def _place(self, recording: str) -> str:
        """A recording's folder; one within the trials' as a path within it, so that both can be
        moved.
        """
        if not recording:
            return ""
        path = Path(recording)
        home = self.folder.resolve()
        return str(path.relative_to(home) if path.is_relative_to(home) else path)

    def _score(self, task: Task) -> None:
        every = len(task.stages)
        found = round(self.trial.stage * every)
        verdict = self.judge.verdict([stage.text for stage in task.stages], found)
        if verdict is None:
            self._keep(replace(self.trial, state="begun"))
            self.screen.say(f"{self._name} is played again")
            return
        scored = scored_with(
            self.trial, verdict.stages, every, verdict.notes, judge=self.judge.name
        )
        self._keep(scored)
        with contextlib.suppress(XlvlaError):
            self.desk.mark(scored.success)
        self.screen.say(f"{self._name}: {verdict.stages} of {every} stages")
