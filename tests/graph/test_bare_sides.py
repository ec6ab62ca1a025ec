"""An arm without a hand beside a hand on a bench: driven, recorded, converted and read back."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("rclpy")
pytest.importorskip("mcap")

from recording_desk import Desk
from rig_bench import Bench

import xlvla_cli
from xlvla import rig_file
from xlvla.recording import RecorderConfig
from xlvla.ros import convert, topics
from xlvla.ros.clock import Clock
from xlvla.run import interruptible, own_domain
from xlvla.types import CHUNK_HZ
from xlvla_cli.commands import register_all
from xlvla_cli.ros.session import Session
from xlvla_data import store
from xlvla_data.bag.reader import Bag
from xlvla_data.commanded_motion import performance

RIG = """
name: bare
sides:
  left:
    arm: {type: xarm7, xyz: [0, 0.4, 0], home: {joint4: 0.6}, device: {emulated: true}}
    hand: {type: none}
  right:
    arm: {type: none, xyz: [0, -0.6, 0.3]}
    hand: {type: ability, device: {emulated: true, rate_hz: 100}}
policy: none
sim: null
"""

MOVED_RAD = 0.08
MOVES = {"left": "left_arm_joint4", "right": "right_hand_index_q1"}
"""The joint of each side that is moved."""

app = typer.Typer()
register_all(xlvla_cli.__name__, xlvla_cli.__path__, app)


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bare")
    (folder / "bare.yaml").write_text(RIG)
    recorder = RecorderConfig(
        folder=str(folder / "recordings"), task="wave", instruction="Wave.", least_free_gb=1e-6
    )
    return replace(rig_file.load(folder / "bare.yaml"), recorder=recorder)


@pytest.fixture(scope="module")
def recording(rig) -> Path:
    """An episode of two seconds in which one joint of each side moves."""
    with interruptible(), Session(rig, domain=own_domain()) as session:
        bench = Bench(session)
        desk = Desk(session.operator, rig, session.supervisor.check)
        merged = topics.JOINT_STATES
        bench.until(lambda: bench.read(merged).newest(), "no merged joint states come")
        desk.until(lambda: desk.status, "the recorder says nothing")
        bench.until(lambda: bench.session.operator.call(topics.ENGAGE, data=True), "not engaged")
        measured = {key: bench.read(topics.joint_states(*key)) for key in rig.parts}
        session.operator.call(topics.RECORDER_START)
        desk.until(lambda: desk.status.get("state") == "recording", "it does not record")
        folder = Path(desk.status["folder"])
        clock = Clock()
        for side in rig.sides:
            bench.publisher(topics.chunk(side))
        here = {}
        for (side, _), reader in measured.items():
            here[side] = bench.until(reader.newest, f"no joint states of {side}")
        for side, state in here.items():
            start = np.array(state.position)
            moves = np.array([MOVED_RAD * (name == MOVES[side]) for name in state.name])
            frames = start + np.linspace(0, 1, 40)[:, None] * moves
            chunk = convert.trajectory(list(state.name), frames, clock.now_ns(), CHUNK_HZ)
            bench.send(topics.chunk(side), chunk)
        ends = time.monotonic() + 2.5
        desk.until(lambda: time.monotonic() > ends, "")
        session.operator.call(topics.RECORDER_STOP)
        desk.until(lambda: desk.status.get("state") == "stopped", "it does not stop")
    return folder


def test_only_what_is_there_has_topics_and_it_moves(recording, rig):
    bag = Bag(recording)
    absent = {name for name in bag.topics if name.startswith(("/left/hand", "/right/arm"))}
    assert not absent
    (first, *_) = bag.messages(["/joint_states"])
    assert set(first.content.name) == {name for key in rig.parts for name in rig.joint_names(*key)}
    (description, *_) = bag.messages(["/robot_description"])
    assert "right_hand_mount" in description.content.data
    played = performance(str(recording))
    played.refuse_unless_of(rig)
    for side, joint in MOVES.items():
        column = played.joints[side].index(joint)
        assert np.ptp(played.measured[side][:, column]) == pytest.approx(MOVED_RAD, abs=0.03)


def test_it_becomes_a_data_set_that_is_read_back(recording, rig, tmp_path):
    sets = tmp_path / "sets"
    command = ["data", "convert", str(recording.parent), "--to", str(sets), "--red"]
    converted = CliRunner().invoke(app, command)
    assert converted.exit_code == 0, converted.output
    (stored,) = store.find(sets)
    episode = stored.read()
    assert dict(episode.info.hands) == {"left": "none", "right": "ability"}
    shapes = {
        side: (own["arm"].shape[1], own["hand"].shape[1]) for side, own in episode.action.items()
    }
    assert shapes == {"left": (7, 0), "right": (0, 6)}
    assert set(episode.latent) == {"right"}
    for words in (["check"], ["show"], ["stats"]):
        shown = CliRunner().invoke(app, ["data", *words, str(sets)])
        assert shown.exit_code == 0, shown.output
    merged = CliRunner().invoke(app, ["data", "merge", str(sets), "--to", str(tmp_path / "all")])
    assert merged.exit_code == 0, merged.output
    performance(f"{stored.data.root}#0").refuse_unless_of(rig)
