"""The operator's page in a real browser: every button is pressed, and read on the graph what came
of it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml

pytest.importorskip("viser")
sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright here")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

from xlvla.ros import forms, participant, statuses, topics
from xlvla.ros.reader import Reader
from xlvla.run import own_domain

pytestmark = [
    pytest.mark.long,
    pytest.mark.realtime,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium"),
]

SOFTWARE = ["--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--use-gl=angle"]
WAIT_S = 60.0


class Graph:
    """What is read of the graph, from a node of its own."""

    def __init__(self) -> None:
        self.node = participant.node_of_its_own("onlooker", own_domain())
        self._readers = {
            "motion": Reader(self.node, topics.MOTION_STATUS, statuses.MOTION),
            "recorder": Reader(self.node, topics.RECORDER_STATUS, statuses.RECORDER),
            "teleop": Reader(self.node, topics.TELEOP_STATUS, statuses.TELEOP),
            "sim": Reader(self.node, topics.SIM_STATUS, statuses.SIM),
            "instruction": Reader(self.node, topics.INSTRUCTION, forms.WORDS),
            "cue": Reader(self.node, topics.CUE, forms.WORDS),
        }
        self._newest: dict[str, Any] = {}

    def newest(self, name: str) -> Any:
        """The newest message of a topic; {} before the first."""
        for value in self._readers[name].every():
            self._newest[name] = value
        return self._newest.get(name, {})

    def until(self, name: str, true: Callable[[Any], Any]) -> Any:
        give_up_s = time.monotonic() + WAIT_S
        while not ((value := self.newest(name)) and true(value)):
            assert time.monotonic() < give_up_s, f"{name} stays {value}"
            time.sleep(0.02)
        return value


def started(*arguments: str, until: str) -> tuple[subprocess.Popen[str], str]:
    """A command that goes on, and the line it printed that has these words."""
    command = [sys.executable, "-m", "xlvla_cli", *arguments, "--domain", str(own_domain())]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "300"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if until in line:
            return process, line
    raise AssertionError(f"{arguments}: {said}")


@pytest.fixture(scope="module")
def address(tmp_path_factory, untrained):
    """The address of the panel of a simulated rig that runs with everything."""
    folder = tmp_path_factory.mktemp("lab")
    document = {
        "name": "lab",
        "like": "bimanual",
        "policy": {"checkpoint": str(untrained)},
        "teleop": {"source": "keyboard"},
        "recorder": {"folder": str(folder / "recordings"), "least_free_gb": 1e-6},
    }
    path = folder / "lab.yaml"
    path.write_text(yaml.safe_dump(document))
    rig, _ = started("run", str(path), until="is up")
    panel, line = started("panel", str(path), "--port", "0", until=" is at ")
    yield line.split(" is at ")[1].strip()
    for process in (panel, rig):
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def graph():
    seen = Graph()
    yield seen
    participant.leave(seen.node)


@pytest.fixture(scope="module")
def page(address):
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=SOFTWARE)
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.set_default_timeout(1e3 * WAIT_S)
        page.goto(address)
        page.get_by_text("This page drives").wait_for()
        yield page
        browser.close()


def press(page, label: str) -> None:
    """As a person does: waits until the button is not grey."""
    page.get_by_role("button", name=label, exact=True).click()


def state_has(page, words: str) -> None:
    page.locator(".xlvla-state", has_text=words).wait_for()


def test_the_page_shows_the_robot_its_cameras_and_its_curves(page):
    page.get_by_text("front: ").first.wait_for()
    page.get_by_text("ms old").wait_for()
    assert page.locator("canvas").count() >= 1
    page.get_by_role("tab", name="Curves").click()
    page.get_by_text("Position [rad]").wait_for()
    page.get_by_role("tab", name="Cameras").click()


def test_robot_buttons(page, graph):
    press(page, "Disengage")
    graph.until("motion", lambda motion: motion["state"] == "disengaged")
    state_has(page, "Disengaged")
    press(page, "Engage")
    graph.until("motion", lambda motion: motion["state"] == "engaged")
    press(page, "Home")
    graph.until("motion", lambda motion: motion["state"] == "going home")
    graph.until("motion", lambda motion: motion["state"] == "engaged")
    begun = graph.newest("sim")["begun"]
    press(page, "New scene")
    graph.until("sim", lambda sim: sim["begun"] > begun)


def test_the_policy_is_stopped_and_started(page, graph):
    graph.until("motion", lambda motion: motion["source"] == "policy")
    state_has(page, "The policy drives")
    press(page, "Stop the policy")
    graph.until("motion", lambda motion: motion["source"] == "")
    state_has(page, "nobody drives")
    press(page, "Start the policy")
    graph.until("motion", lambda motion: motion["source"] == "policy")


def test_an_instruction_is_typed_and_given(page, graph):
    field = page.locator("input.mantine-TextInput-input:visible")
    field.fill("Push the sugar boxes together.")
    page.keyboard.press("Tab")
    press(page, "Give the instruction")
    graph.until("instruction", lambda words: words == "Push the sugar boxes together.")


def test_recorder_buttons(page, graph):
    press(page, "Begin an episode")
    graph.until("recorder", lambda recorder: recorder["state"] == "recording")
    page.get_by_text("RECORDING").wait_for()
    press(page, "Relabel with the instruction")
    press(page, "End the episode")
    graph.until("recorder", lambda recorder: recorder["state"] == "stopped")
    for label, cue in (
        ("Success", "succeeded"),
        ("Failure", "failed"),
        ("Discard, or take back", "discarded"),
    ):
        press(page, label)
        graph.until("cue", lambda words, cue=cue: cue in words)


def test_the_clutch_is_closed_and_opened(page, graph):
    press(page, "Teleoperation drives")
    press(page, "Close the clutch")
    graph.until("teleop", lambda teleop: any(s["clutched"] for s in teleop["sides"].values()))
    state_has(page, "The operator drives")
    press(page, "Open the clutch")
    graph.until("teleop", lambda teleop: not any(s["clutched"] for s in teleop["sides"].values()))


def test_space_stops_and_the_button_that_was_pressed_last_does_not_end_it(page, graph):
    page.keyboard.press("Space")
    graph.until("motion", lambda motion: motion["state"].startswith("e-stop"))
    state_has(page, "E-STOP")
    time.sleep(1.1)  # for so long nothing else is obeyed
    press(page, "End the e-stop")
    graph.until("motion", lambda motion: motion["state"] == "disengaged")
    # The button still has the focus.
    page.keyboard.press("Space")
    graph.until("motion", lambda motion: motion["state"].startswith("e-stop"))
    time.sleep(2.0)
    assert graph.newest("motion")["state"].startswith("e-stop")
    time.sleep(0.1)
    press(page, "End the e-stop")
    press(page, "Engage")
    graph.until("motion", lambda motion: motion["state"] == "engaged")
    press(page, "E-STOP (space)")
    graph.until("motion", lambda motion: motion["state"].startswith("e-stop"))
