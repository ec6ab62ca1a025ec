"""What happens to processes of a rig: stopped, killed, orphaned, interrupted; and what they leave
in shared memory.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy")

import retries
from xlvla import graph, rig_file
from xlvla import run as launcher
from xlvla.errors import XlvlaError
from xlvla.ros import supervision, topics
from xlvla.run import Supervisor, own_domain
from xlvla_cli.ros.measure import KEPT, Measure
from xlvla_cli.ros.operator import Operator

WAIT_S = 40.0
SEGMENT = re.compile(r"/dev/shm/fastrtps_[0-9a-f]{16}_el")
JOINTS = "xlvla.nodes.joint_states"


def until(true: Callable[[], Any], otherwise: str, seconds: float = WAIT_S) -> Any:
    give_up = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.05)
    return value


def running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def own_segments(pid: int) -> set[str]:
    """The lock files of shared memory that a process has made for itself."""
    opened = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            opened.add(os.readlink(link))
        except OSError:
            continue
    return {path for path in opened if SEGMENT.fullmatch(path)}


class Rig:
    """`xlvla run` and what it prints."""

    def __init__(self, *arguments: str):
        command = [
            sys.executable,
            "-m",
            "xlvla",
            "run",
            "bimanual",
            "--policy",
            "none",
            "--domain",
            str(own_domain()),
            *arguments,
        ]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.said = ""
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line

    def says(self, words: str) -> None:
        until(
            lambda: words in self.said or self.process.poll() is not None,
            f"never '{words}': {self.said}",
        )
        assert words in self.said

    def ended(self) -> int:
        code = self.process.wait(timeout=WAIT_S)
        self._listener.join(timeout=5)
        return code

    def nodes(self) -> dict[str, int]:
        """Pids of the nodes by their modules."""
        found = {}
        mark = f"{supervision.PARENT}={self.process.pid}\0".encode()
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    found[(entry / "cmdline").read_text().split("\0")[2]] = int(entry.name)
            except OSError:
                continue
        return found


@pytest.fixture
@retries.once_more
def rig() -> Iterator[Rig]:
    up = Rig()
    try:
        up.says("is up")
        yield up
    finally:
        for pid in up.nodes().values():
            os.kill(pid, signal.SIGCONT)
        up.process.kill()
        up.process.wait()


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "ROS_DOMAIN_ID": str(own_domain()), **more}


def test_a_node_that_stands_still_is_named_and_again_when_it_is_back(rig):
    motion = rig.nodes()["xlvla_drivers.nodes.motion"]
    time.sleep(1.5)  # each has reported
    os.kill(motion, signal.SIGSTOP)
    rig.says("motion has been silent for 3 s")
    assert f"kill -CONT {motion}" in rig.said
    os.kill(motion, signal.SIGCONT)
    rig.says("motion is back after")
    assert "sim has been silent" not in rig.said


def test_a_rig_that_is_stopped_leaves_no_shared_memory_behind(rig):
    segments = {
        segment for pid in [rig.process.pid, *rig.nodes().values()] for segment in own_segments(pid)
    }
    assert len(segments) == 1 + len(rig.nodes())
    rig.process.send_signal(signal.SIGINT)
    assert rig.ended() == 0
    assert not [segment for segment in segments if Path(segment).exists()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_signal_lets_a_rig_end_in_order(rig, number):
    pids = rig.nodes().values()
    rig.process.send_signal(number)
    time.sleep(0.1)
    rig.process.send_signal(number)
    assert rig.ended() == 0
    assert "Traceback" not in rig.said and "stopped" in rig.said
    assert not any(running(pid) for pid in pids)


def test_nodes_end_in_order_when_their_launcher_is_killed(rig):
    pids = rig.nodes().values()
    segments = {segment for pid in pids for segment in own_segments(pid)}
    assert len(segments) == len(pids)
    rig.process.kill()
    until(
        lambda: not any(running(pid) for pid in pids),
        "nodes outlive their launcher",
        supervision.LEAVE_S + 5,
    )
    assert not [segment for segment in segments if Path(segment).exists()]


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


@pytest.mark.parametrize(
    "between", [(), ("sh", "-c", '"$@"; true', "sh")], ids=["directly", "through a shell"]
)
def test_a_node_ends_with_the_process_that_its_environment_names(between):
    parent, node = orphan(*between, named="yes")
    time.sleep(2.0)
    parent.kill()
    parent.wait()
    until(lambda: not running(node), "the node outlives it", supervision.LEAVE_S + 5)


@pytest.mark.parametrize("way", [("setsid",), ("nohup",)])
def test_a_node_that_somebody_starts_by_hand_goes_on_when_the_shell_is_gone(way):
    parent, node = orphan(*way)
    try:
        time.sleep(2.0)
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


def test_nodes_that_are_not_discovered_are_not_called_up(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")
    silent = Rig()
    try:
        assert silent.ended() == 2, silent.said
    finally:
        silent.process.kill()
    assert "is up" not in silent.said
    assert "ROS_AUTOMATIC_DISCOVERY_RANGE" in silent.said


def test_topics_of_a_node_are_there_once_after_it_was_cleaned_up_and_configured_again():
    from lifecycle_msgs.msg import Transition
    from test_lifecycle import ask, change

    command = [sys.executable, "-m", "xlvla_sim.nodes.sim", "--ros-args", "-p", "autostart:=false"]
    process = subprocess.Popen(command, env=environment(**{supervision.PARENT: str(os.getpid())}))
    try:
        with Operator(domain=own_domain()) as operator:
            operator.node.executor.remove_node(operator.node)
            told = [Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP] * 2
            for transition in [
                *told,
                Transition.TRANSITION_CONFIGURE,
                Transition.TRANSITION_ACTIVATE,
            ]:
                assert change(operator, transition)
            until(operator.status, "the simulation says nothing")
            time.sleep(0.5)
            assert operator.node.count_publishers(topics.SIM_STATUS.name) == 1
            assert operator.node.count_publishers(topics.CLOCK.name) == 1
            assert operator.node.count_publishers(topics.DIAGNOSTICS.name) == 1
            assert operator.node.count_subscribers(topics.command("left", "arm").name) == 1
            reset = topics.SIM_RESET
            answer = ask(operator, reset.type, reset.name, reset.type.Request())
            assert answer is not None and answer.success
            assert change(operator, Transition.TRANSITION_DEACTIVATE) and change(
                operator, Transition.TRANSITION_CLEANUP
            )
            until(
                lambda: operator.node.count_publishers(topics.SIM_STATUS.name) == 0,
                "what was cleaned up is still there",
            )
    finally:
        process.terminate()
        assert process.wait(timeout=15) == 0


def held(operator: Operator, name: str) -> tuple[dict[str, int], dict[str, int], list[str]]:
    """How many publishers and subscriptions a node has by topic, and its services."""
    node = operator.node
    topics_there = [topic for topic, _ in node.get_topic_names_and_types()]
    publishers = {
        topic: sum(end.node_name == name for end in node.get_publishers_info_by_topic(topic))
        for topic in topics_there
    }
    readers = {
        topic: sum(end.node_name == name for end in node.get_subscriptions_info_by_topic(topic))
        for topic in topics_there
    }
    services = [service for service, _ in node.get_service_names_and_types_by_node(name, "/")]
    return (
        {k: n for k, n in publishers.items() if n},
        {k: n for k, n in readers.items() if n},
        sorted(services),
    )


@pytest.mark.parametrize("module", ["xlvla_drivers.nodes.motion", "xlvla.nodes.joint_states"])
def test_a_node_has_the_same_in_the_graph_however_often_it_was_configured(module):
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState
    from test_lifecycle import ask

    name = module.rpartition(".")[2]
    command = [
        sys.executable,
        "-m",
        module,
        "--ros-args",
        "-p",
        "autostart:=false",
        "-p",
        "rig:=bimanual",
    ]
    process = subprocess.Popen(command, env=environment(**{supervision.PARENT: str(os.getpid())}))

    def change(number: int) -> None:
        answer = ask(
            operator,
            ChangeState,
            f"/{name}/change_state",
            ChangeState.Request(transition=Transition(id=number)),
        )
        assert answer is not None and answer.success
        time.sleep(1.0)  # until the graph says so

    try:
        with Operator(domain=own_domain()) as operator:
            operator.node.executor.remove_node(operator.node)
            change(Transition.TRANSITION_CONFIGURE)
            first = held(operator, name)
            change(Transition.TRANSITION_CLEANUP)
            bare = held(operator, name)
            assert sum(bare[0].values()) < sum(first[0].values()) and not bare[1]
            change(Transition.TRANSITION_CONFIGURE)
            assert held(operator, name) == first
    finally:
        process.terminate()
        assert process.wait(timeout=15) == 0
