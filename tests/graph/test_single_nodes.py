"""Processes of single nodes: they end with whoever started them, or when they are told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from processes import running, until

from xlvla import graph, rig_file
from xlvla import run as launcher
from xlvla.errors import XlvlaError
from xlvla.ros import supervision
from xlvla.run import Supervisor, own_domain
from xlvla_cli.ros.measure import KEPT, Measure
from xlvla_cli.ros.operator import Operator

JOINTS = "xlvla.nodes.joint_states"


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "ROS_DOMAIN_ID": str(own_domain()), **more}


def test_a_node_that_does_not_end_when_it_should_is_killed_with_a_line(monkeypatch):
    monkeypatch.setattr(launcher, "STOP_TIMEOUT_S", 1.0)
    monkeypatch.setattr(launcher, "INSIST_TIMEOUT_S", 0.5)
    said: list[tuple[str, str]] = []
    body = rig_file.with_choices(rig_file.load("bimanual"), policy="none")
    with Supervisor(
        body,
        graph.chosen(body, ["joint_states"]),
        domain=own_domain(),
        listener=lambda *line: said.append(line),
    ) as nodes:
        nodes.wait_ready(60)
        os.kill(nodes.nodes[0].process.pid, signal.SIGSTOP)
    assert nodes.nodes[0].process.returncode == -signal.SIGKILL
    assert [name for name, line in said if "is killed" in line] == ["joint_states"]


def test_a_rig_that_does_not_get_ready_says_where_each_node_stands():
    body = rig_file.with_choices(rig_file.load("bimanual"), policy="none")
    with Supervisor(
        body, graph.chosen(body, ["joint_states", "sim"]), domain=own_domain()
    ) as nodes:
        os.kill(nodes.nodes[0].process.pid, signal.SIGSTOP)
        with pytest.raises(XlvlaError, match=r"not ready after 0 s: ") as late:
            nodes.wait_ready(timeout_s=0.2)
    assert "sim (starts Python, its process is stopped, no output yet)" in str(late.value)
    assert "joint_states (" in str(late.value)


def orphan(*start: str, **more: str) -> tuple[subprocess.Popen[str], int]:
    """A process that starts a node by a command and stays; its pid and the node's."""
    source = """
import os, subprocess, sys, time
os.environ.update(XLVLA_SUPERVISOR_PID=str(os.getpid())) if sys.argv[1] else None
subprocess.Popen(sys.argv[2:])
time.sleep(120)
"""
    command = [
        sys.executable,
        "-c",
        source,
        more.pop("named", ""),
        *start,
        sys.executable,
        "-m",
        JOINTS,
    ]
    parent = subprocess.Popen(command, env=environment(**more), text=True)
    return parent, until(lambda: node_below(parent.pid), "no node was started")


def node_below(parent: int) -> int | None:
    """The pid of a node that a process or one of its children has started."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
        if words[1:3] == ["-m", JOINTS]:
            return int(child)
        if (found := node_below(int(child))) is not None:
            return found
    return None


def comes_up() -> None:
    """Waits until the node is there, and so has looked who started it."""
    with Operator(domain=own_domain()) as asker:
        until(lambda: "joint_states" in asker.node.get_node_names(), "the node does not come up")


@pytest.mark.parametrize(
    "between", [(), ("sh", "-c", '"$@"; true', "sh")], ids=["directly", "through a shell"]
)
def test_a_node_ends_with_the_process_that_its_environment_names(between):
    parent, node = orphan(*between, named="yes")
    comes_up()
    parent.kill()
    parent.wait()
    until(lambda: not running(node), "the node outlives it")


@pytest.mark.parametrize("way", [("setsid",), ("nohup",)])
def test_a_node_that_somebody_starts_by_hand_goes_on_when_the_shell_is_gone(way):
    parent, node = orphan(*way)
    try:
        comes_up()
        parent.kill()
        parent.wait()
        time.sleep(supervision.LEAVE_S / 4)
        assert running(node)
    finally:
        os.kill(node, signal.SIGTERM)
    until(lambda: not running(node), "the node does not end")


def test_a_node_whose_launcher_is_gone_before_it_looks_ends_at_once():
    gone = subprocess.Popen(["true"])
    gone.wait()
    node = subprocess.run(
        [sys.executable, "-m", JOINTS],
        env=environment(**{supervision.PARENT: str(gone.pid)}),
        timeout=30,
    )
    assert node.returncode == 1


def test_a_node_that_nobody_spins_offers_no_services():
    with Operator(domain=own_domain()) as operator, Operator(domain=own_domain()) as asker:
        until(lambda: len(asker.node.get_node_names()) >= 2, "no discovery")
        time.sleep(0.5)
        assert [
            name for name, _ in operator.node.get_service_names_and_types_by_node("operator", "/")
        ] == []
        assert [
            name
            for name, _ in asker.node.get_service_names_and_types()
            if name.startswith("/operator")
        ] == []


def test_figures_of_a_long_run_do_not_grow_without_end():
    body = rig_file.load("bimanual")
    with Operator(domain=own_domain()) as operator:
        measure = Measure(operator.node, body)
        for number in range(KEPT + 1000):
            measure.add_command(5_000_000 * number)
        assert len(measure.periods_ms) == KEPT
        assert measure.summary()["command_rate_hz"] == pytest.approx(200.0)
        assert measure.summary()["command_period_ms"]["p50"] == pytest.approx(5.0)
