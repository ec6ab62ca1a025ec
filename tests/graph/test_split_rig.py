"""A rig on two machines: the policy in one `xlvla run`, the rest in another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from xlvla.run import own_domain

WAIT_S = 40.0


class Machine:
    """One `xlvla run` and what it prints."""

    def __init__(self, *arguments: str):
        command = [
            sys.executable,
            "-c",
            "from xlvla_cli.app import main; main()",
            "run",
            "bimanual",
            "--domain",
            str(own_domain()),
            *arguments,
        ]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.said = ""
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line

    def says(self, words: str, times: int = 1) -> None:
        give_up = time.monotonic() + WAIT_S
        while self.said.count(words) < times:
            assert time.monotonic() < give_up and self.process.poll() is None, (
                f"never '{words}': {self.said}"
            )
            time.sleep(0.05)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=20)


@pytest.fixture
def machines():
    running: list[Machine] = []

    def start(*arguments: str) -> Machine:
        running.append(Machine(*arguments))
        return running[-1]

    yield start
    for machine in running:
        machine.process.kill()
        machine.process.wait()


def process_of(machine: Machine, module: str) -> int:
    """The process of a node that a machine started."""
    for entry in Path("/proc").iterdir():
        try:
            ours = (
                f"XLVLA_SUPERVISOR_PID={machine.process.pid}\0".encode()
                in (entry / "environ").read_bytes()
            )
            if ours and module.encode() in (entry / "cmdline").read_bytes():
                return int(entry.name)
        except OSError:
            continue
    raise AssertionError(f"no process runs {module}")


def test_each_side_awaits_the_other_and_says_when_it_comes_and_goes(machines, untrained):
    robot = machines("--without", "policy")
    robot.says("(sim, joint_states, motion) is up")
    robot.says(
        "waiting for policy, on this machine: from another it could not be reached, for that say "
        "--network"
    )
    assert "policy is there" not in robot.said
    mind = machines("--only", "policy", "--checkpoint", str(untrained))
    mind.says("motion is there")
    robot.says("policy is there")
    policy = process_of(mind, "xlvla_policy.nodes.policy")
    os.kill(
        policy, signal.SIGSTOP
    )  # as when a machine hangs or a cable is cut: nobody says goodbye
    robot.says("policy is gone")
    os.kill(policy, signal.SIGCONT)
    robot.says("policy is there", times=2)
    assert robot.stop() == 0
    mind.says("motion is gone")
    mind.says("no chunk is published")
    assert mind.stop() == 0


def test_what_does_not_go_together_is_refused_with_one_line(machines):
    for arguments, words in (
        (("--only", "polcy"), "unknown node 'polcy'"),
        (("--only", "policy", "--episodes", "2"), "--episodes counts with every node here"),
    ):
        machine = machines(*arguments)
        assert machine.process.wait(timeout=30) == 2
        time.sleep(0.1)
        assert words in machine.said and "Traceback" not in machine.said
