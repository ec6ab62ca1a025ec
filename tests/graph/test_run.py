"""The launcher: a rig that runs as a whole, and nothing left when it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xlvla import graph, rig_file
from xlvla.errors import XlvlaError
from xlvla.ros import topics
from xlvla.ros.reader import Reader
from xlvla.run import NodeDied, Supervisor, interruptible, own_domain
from xlvla_cli.ros.session import Session


def nodes_of(parent: int) -> set[int]:
    """Processes whose supervisor is `parent`."""
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if (
                entry.name.isdigit()
                and f"XLVLA_SUPERVISOR_PID={parent}\0".encode() in (entry / "environ").read_bytes()
            ):
                found.add(int(entry.name))
        except OSError:
            continue
    return found


def cli(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from xlvla_cli.app import main; main()", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def up(process: subprocess.Popen[str]) -> str:
    """What a rig printed until it was up."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "is up" in line:
            return said
    raise AssertionError(f"the rig did not come up: {said}")


def test_a_node_that_is_killed_stops_the_rig_and_is_named_with_how_it_ended():
    process = cli("run", "bimanual", "--policy", "none", "--domain", str(own_domain()))
    up(process)
    victim = next(
        pid
        for pid in nodes_of(process.pid)
        if b"motion" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    os.kill(victim, signal.SIGKILL)
    said, _ = process.communicate(timeout=15)
    assert process.returncode != 0
    assert "node 'motion' was killed by SIGKILL" in said
    assert "Traceback" not in said
    assert not nodes_of(process.pid)


def test_a_node_that_refuses_to_start_stops_the_rig_with_its_reason(tmp_path):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"not weights")
    rig = rig_file.with_choices(rig_file.load("bimanual"), checkpoint=str(weights))
    with (
        pytest.raises(NodeDied, match="not a safetensors file") as death,
        Supervisor(rig, graph.nodes(rig), domain=own_domain()) as all_nodes,
    ):
        all_nodes.wait_ready(timeout_s=60)
    assert (death.value.name, death.value.code) == ("policy", 1)
    assert not nodes_of(os.getpid())


def test_a_rig_with_missing_weights_is_refused_before_anything_starts():
    process = cli("run", "bimanual", "--checkpoint", "/nowhere/weights.safetensors")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "/nowhere/weights.safetensors" in said and "Traceback" not in said


def test_a_rig_of_hardware_without_drivers_is_refused_with_one_line():
    process = cli("run", "bimanual", "--no-sim")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "hardware" in said and "Traceback" not in said


def test_the_whole_rig_decides_and_moves_and_receives_the_operator(untrained):
    rig = rig_file.with_choices(
        rig_file.load("bimanual"), checkpoint=str(untrained), hands={"left": "inspire"}
    )
    with interruptible(), Session(rig, domain=own_domain()) as session:
        chunks = {
            side: Reader(session.operator.node, topics.chunk(side, "policy").history(50))
            for side in rig.sides
        }
        others = {
            topic.name: Reader(session.operator.node, topic)
            for topic in (topics.LATENT, topics.MARKERS)
        }
        session.operator.reset()
        seen: dict[str, int] = dict.fromkeys([*chunks, *others], 0)
        give_up = time.monotonic() + 30
        while (
            min(seen.values()) < 2 or len(session.measure.periods_ms) < 100
        ) and time.monotonic() < give_up:
            session.tick()
            for name, reader in (chunks | others).items():
                while (message := reader.next()) is not None:
                    seen[name] += 1
                    if name in chunks:
                        assert len(message.points) == 64
                        assert list(message.joint_names) == [
                            n for part in ("arm", "hand") for n in rig.joint_names(name, part)
                        ]
        assert min(seen.values()) >= 2, seen
        assert len(session.measure.periods_ms) >= 100, "motion does not send commands"
        assert 4 < np.median(session.measure.periods_ms) < 20
        assert np.median(session.measure.observation_to_chunk_ms) < 500
        receives_the_operator(session)


def receives_the_operator(session: Session) -> None:
    session.operator.instruct("Push the sugar boxes together.")
    give_up = time.monotonic() + 20
    while (
        "sugar" not in session.operator.figures().get("policy", {}).get("", "")
        and time.monotonic() < give_up
    ):
        session.tick()
    assert "Push the sugar boxes together." in session.operator.figures()["policy"][""]


def test_an_episode_reports_its_seed_and_ends():
    rig = rig_file.with_choices(rig_file.load("bimanual"), policy="none", seed=41, speed=0.0)
    # nobody looks, so that it ends as soon as it can
    rig = replace(rig, cameras={})
    specs = graph.chosen(rig, only=["sim"])
    with interruptible(), Session(rig, specs, domain=own_domain()) as session:
        result = list(session.episode())[-1]
        assert (result.episode, result.seed) == (0, 41)
        assert result.duration_s > 1 and re.search(r"\w", result.text)
        assert session.operator.reset()["seed"] == 42


def test_an_unknown_rig_is_refused_with_the_known_ones():
    with pytest.raises(XlvlaError, match="did you mean 'bimanual'"):
        rig_file.load("bimanaul")
