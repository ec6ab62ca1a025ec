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
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from processes import WAIT_S, running, until

import retries
from xlvla.ros import supervision, topics
from xlvla.run import own_domain
from xlvla_cli.ros.operator import Operator

SEGMENT = re.compile(r"/dev/shm/fastrtps_[0-9a-f]{16}_el")


def own_segments(pid: int) -> set[str]:
    """The lock files of shared memory that a process has made for itself."""
    opened = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            opened.add(os.readlink(link))
        except OSError:
            continue
    return {path for path in opened if SEGMENT.fullmatch(path)}


def _heeds_hangup() -> None:
    """Of tests that run under nohup it would be ignored."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


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
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=_heeds_hangup,
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
        try:
            code = self.process.wait(timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"goes on, with {list(self.nodes())}: {self.said}") from None
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


@pytest.fixture(scope="module")
def started() -> Iterator[list[Rig]]:
    """The rigs that tests have started, of which the last may run."""
    rigs: list[Rig] = []
    yield rigs
    for rig in rigs:
        rig.process.kill()
        rig.process.wait()


@pytest.fixture
@retries.once_more
def rig(started: list[Rig]) -> Iterator[Rig]:
    """A rig that is up; a test that does not end it leaves it to the next."""
    if not started or started[-1].process.poll() is not None:
        started.append(Rig())
        started[-1].says("is up")
    up = started[-1]
    try:
        yield up
    finally:
        for pid in up.nodes().values():
            os.kill(pid, signal.SIGCONT)


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


@pytest.mark.parametrize(
    ("number", "times"),
    [
        (signal.SIGTERM, 1),
        (signal.SIGINT, 2),
        (signal.SIGHUP, 2),
        pytest.param(signal.SIGINT, 1, marks=pytest.mark.long),
        pytest.param(signal.SIGTERM, 2, marks=pytest.mark.long),
    ],
)
def test_a_rig_that_is_stopped_ends_in_order_and_leaves_nothing_behind(rig, number, times):
    """A second signal changes nothing."""
    pids = [rig.process.pid, *rig.nodes().values()]
    assert len(pids) == 4
    segments = {segment for pid in pids for segment in own_segments(pid)}
    assert len(segments) == len(pids)
    rig.process.send_signal(number)
    for _ in range(times - 1):
        time.sleep(0.1)
        rig.process.send_signal(number)
    assert rig.ended() == 0
    assert "Traceback" not in rig.said and "stopped" in rig.said
    assert not any(running(pid) for pid in pids)
    assert not [segment for segment in segments if Path(segment).exists()]


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
            assert ask(operator, reset.name, reset.type).success
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


Held = tuple[dict[str, int], dict[str, int], list[str]]

SETTLED_S = 0.5
"""The graph is known where nothing changed for so long."""


def held(operator: Operator, name: str) -> Held:
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
    from test_lifecycle import change

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

    def held_after(transition: int) -> Held:
        """What the node has after a transition, once nothing is added for a while."""
        assert change(operator, transition, name)
        looks = [held(operator, name)]
        since = time.monotonic()
        while time.monotonic() < since + SETTLED_S:
            time.sleep(0.05)
            looks.append(held(operator, name))
            if looks[-1] != looks[-2]:
                since = time.monotonic()
        return looks[-1]

    try:
        with Operator(domain=own_domain()) as operator:
            first = held_after(Transition.TRANSITION_CONFIGURE)
            bare = held_after(Transition.TRANSITION_CLEANUP)
            assert sum(bare[0].values()) < sum(first[0].values()) and not bare[1]
            assert held_after(Transition.TRANSITION_CONFIGURE) == first
    finally:
        process.terminate()
        assert process.wait(timeout=15) == 0
