"""Trials on a rig that runs in simulation: scored by it, and by a person at a terminal."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

import command_line
from xlvla import graph, rig_file
from xlvla.run import Supervisor, own_domain
from xlvla_cli.trials.series import load
from xlvla_data.bag.card import read_episode_card

WAVE = Path(__file__).parents[2] / "examples" / "policies" / "wave.py"
PATIENCE_S = 150.0


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """A folder of two trials, of two policies that wave, the rig of which runs; the environment
    with both policies in it, and the domain.
    """
    home = tmp_path_factory.mktemp("trials")
    policies = home / "policies"
    policies.mkdir()
    for name in ("wave_far", "wave_near"):
        (policies / f"{name}.py").write_text(f"{WAVE.read_text()}\n# {name}\n")
    environment = {**os.environ, "XLVLA_POLICIES": str(policies), "NO_COLOR": "1"}
    folder = home / "series"
    command = [str(command_line.XLVLA), "trials", "new", str(folder)]
    command += ["--policy", "wave_far", "--policy", "wave_near", "--trials", "1"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    (path,) = (folder / "rigs").iterdir()
    rig = rig_file.load(path)
    # Quicker than real time, where the machine can.
    rig = replace(rig, sim=replace(rig.sim, speed=3.0))
    rig.save(path)
    domain = own_domain()
    with Supervisor(rig, graph.nodes(rig), domain=domain) as supervisor:
        supervisor.wait_ready()
        yield folder, environment, domain


def run_of(series, *more):
    folder, _, domain = series
    return [str(command_line.XLVLA), "trials", "run", str(folder), "--domain", str(domain), *more]


@pytest.mark.long
def test_the_simulation_sets_the_scene_and_scores_and_nobody_is_told_who_acted(series):
    folder, environment, _ = series
    command = run_of(series, "--judge", "simulation", "--most", "1")
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stderr
    assert "wave" not in done.stdout + done.stderr
    first = load(folder).trial(1)
    assert (first.state, first.judge, first.attempts) == ("scored", "simulation", 1)
    assert first.end and first.time_s > 0
    card = read_episode_card(folder / first.recording)
    assert card.seed == first.scene
    assert card.success == first.success
    assert card.rig["policy"] is None
    # Its own words, which name it, went into a file.
    assert (folder / "logs" / "trial_001.log").is_file()


@pytest.mark.long
def test_a_person_sees_the_scene_lets_the_policy_drive_ends_the_trial_and_scores_it(series):
    folder, environment, _ = series
    series_now = load(folder)
    series_now.with_trial(replace(series_now.trial(1), state="scored")).save(folder)
    desk = Terminal(run_of(series), environment)
    desk.until("Set the scene")
    assert (folder / "scene.html").is_file()
    desk.wait_for_file(folder / "scene.jpg")
    assert load(folder).trial(2).state == "waiting"
    desk.press("\n")
    desk.until("of 15 s")
    assert load(folder).trial(2).state == "begun"
    desk.press("\n")
    desk.until("ended by hand")
    desk.until("How far did it come?")
    assert load(folder).trial(2).state == "ended"
    desk.press("3")
    desk.until("notes")
    desk.press("let go early\n")
    desk.until("all trials are scored")
    assert desk.ended() == 0
    assert "wave" not in desk.said
    second = load(folder).trial(2)
    assert (second.state, second.stage, second.success) == ("scored", 0.75, False)
    assert (second.notes, second.judge) == ("let go early", "person")


class Terminal:
    """A command at a terminal."""

    def __init__(self, command, environment):
        own, its = pty.openpty()
        self._terminal = own
        self._process = subprocess.Popen(
            command, stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True
        )
        os.close(its)
        self.said = ""

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def until(self, words: str) -> None:
        """Reads until these words were said after those of the last call."""
        began = len(self.said)
        give_up = time.monotonic() + PATIENCE_S
        while words not in self.said[began:]:
            assert time.monotonic() < give_up, f"no '{words}' in {self.said[began:]}"
            self._read()

    def wait_for_file(self, path: Path) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while not path.is_file():
            assert time.monotonic() < give_up, f"no {path}"
            self._read()

    def ended(self) -> int:
        give_up = time.monotonic() + PATIENCE_S
        while self._process.poll() is None and time.monotonic() < give_up:
            self._read()
        return self._process.wait(1)

    def _read(self) -> None:
        if select.select([self._terminal], [], [], 0.1)[0]:
            try:
                self.said += os.read(self._terminal, 65536).decode(errors="replace")
            except OSError:  # the other end has gone
                time.sleep(0.05)
