"""`xlvla run --panel`: the page as a process beside a rig."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("viser")
pytest.importorskip("rclpy")

import command_line
from xlvla import rig_file
from xlvla.run import own_domain
from xlvla_cli.panel.beside import panel_beside
from xlvla_cli.panel.server import PORT


def test_counted_episodes_have_no_panel():
    done = command_line.run("run", "bimanual", "--panel", "--episodes", "1")
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "xlvla: --panel is for a rig that runs until Ctrl-C: leave out --episodes"
    )


def test_an_address_that_others_reach_is_refused_in_one_line():
    done = command_line.run("panel", "bimanual", "--host", "0.0.0.0")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "needs --certificate and --key" in done.stderr


@pytest.mark.long
def test_it_prints_its_address_and_ends_with_the_rig():
    lines: list[str] = []
    with panel_beside(rig_file.load("bimanual"), own_domain(), lines.append):
        give_up_s = time.monotonic() + 60
        while not lines:
            assert time.monotonic() < give_up_s, "it prints nothing"
            time.sleep(0.05)
    # Somebody's panel may be open on this machine.
    served = f"the panel of bimanual is at http://localhost:{PORT}/"
    assert lines[0].startswith((served, f"xlvla: the panel cannot be served at 127.0.0.1:{PORT}"))
    assert not any("Traceback" in line for line in lines)
