"""`xlvla estop` and `xlvla call` reach a rig that runs in another terminal."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer
import yaml
from typer.testing import CliRunner

pytest.importorskip("rclpy")

from xlvla.errors import XlvlaError
from xlvla.run import own_domain
from xlvla_cli import orders

app = typer.Typer()
orders.register(app)


def said(*words: str) -> str:
    done = CliRunner().invoke(app, [*words, "--domain", str(own_domain())])
    if isinstance(done.exception, XlvlaError):
        return str(done.exception)
    assert done.exit_code == 0, done.output
    return done.output.strip()


@pytest.fixture
def running(tmp_path):
    """`xlvla run` of the simulated rig with a recorder, which ends after one recorded episode."""
    recorder = {"folder": str(tmp_path / "recordings"), "least_free_gb": 1e-6}
    document = {"name": "taken", "like": "bimanual", "policy": None, "recorder": recorder}
    path = tmp_path / "taken.yaml"
    path.write_text(yaml.safe_dump(document))
    command = [sys.executable, "-m", "xlvla", "run", str(path), "--takes", "1"]
    command += ["--domain", str(own_domain())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "is up" in line:
                break
        yield process
        process.kill()


def test_a_running_rig_takes_orders_of_another_terminal_and_ends_after_its_takes(running):
    assert said("estop") == "stopped; /motion/reset ends it"
    assert said("call", "motion/engage", "on").startswith("/motion/engage: ")
    said("call", "/motion/reset")
    assert not said("call", "motion/engage", "on").startswith("/motion/engage: ")
    said("call", "recorder/start")
    said("call", "recorder/stop")
    text, _ = running.communicate(timeout=60)
    assert running.returncode == 0
    assert "takes recorded: 1, the last in " in text


def test_a_stop_that_no_motion_answers_fails_and_says_so(monkeypatch):
    monkeypatch.setattr("xlvla_cli.ros.operator.OFFER_TIMEOUT_S", 0.3)
    done = CliRunner().invoke(app, ["estop", "--domain", str(own_domain())])
    assert isinstance(done.exception, XlvlaError)
    assert str(done.exception).startswith(
        "drivers were told to stop; motion was not: no node provides /motion/estop"
    )


def test_a_call_that_cannot_be_meant_is_one_line_before_anything_is_called():
    assert said("call", "motion/engag").endswith("did you mean 'motion/engage'?")
    assert (
        said("call", "motion/engage") == "/motion/engage is switched: say on or off after its name"
    )
    assert said("call", "motion/reset", "on") == "/motion/reset is only called: leave out 'on'"
