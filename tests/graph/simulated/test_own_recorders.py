"""Recorders that are started beside the running graph one after the other, and what they find."""

from __future__ import annotations

import signal
import time
from dataclasses import replace

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mcap")

from recording_desk import recorded_rig, recorder
from rig_bench import Bench

from xlvla.errors import XlvlaError
from xlvla.recording import RecorderConfig
from xlvla.ros import topics
from xlvla_cli.ros.session import Session
from xlvla_data.bag.card import read_episode_card
from xlvla_data.bag.reader import Bag


@pytest.fixture(scope="module")
def body(bench: Bench) -> Session:
    """The running rig, which has no recorder; each test brings its own."""
    bench.begin()
    return bench.session


def test_no_episode_begins_on_a_disk_that_is_nearly_full_and_what_is_not_there_is_not_discarded(
    body, tmp_path
):
    rig = recorded_rig(tmp_path)
    full = replace(rig, recorder=RecorderConfig(folder=str(tmp_path), least_free_gb=1e6))
    with recorder(full, body.operator) as (desk, _):
        with pytest.raises(XlvlaError, match=r"recorder\.least_free_gb is 1e\+06"):
            desk.operator.call(topics.RECORDER_START)
        with pytest.raises(XlvlaError, match="no episode was recorded yet"):
            desk.operator.call(topics.RECORDER_DISCARD)
    assert not list(tmp_path.rglob("episode_*"))


def test_a_killed_recorder_leaves_an_episode_that_the_next_one_makes_whole(body, tmp_path):
    rig = recorded_rig(tmp_path)
    with recorder(rig, body.operator) as (desk, supervisor):
        folder = desk.record(2.5)
        supervisor.nodes[0].kill(signal.SIGKILL)
        supervisor.nodes[0].process.wait()
        killed_ns = time.time_ns()
    assert read_episode_card(folder).state == "recording" and not Bag(folder).whole
    kept = list(Bag(folder).messages(raw=True))
    assert killed_ns - kept[-1].log_ns < 1.2e9
    with recorder(rig, body.operator) as (desk, _):
        desk.until(
            lambda: Bag(folder).whole and read_episode_card(folder).state == "stopped",
            "nobody repairs it",
        )
        assert len(list(Bag(folder).messages(raw=True))) == len(kept)
    card = read_episode_card(folder)
    assert "killed" in card.why and card.verdict in ("yellow", "red")
    assert card.duration_s > 0.5 and card.figures["/right/hand/joint_states"][
        "rate [Hz]"
    ] == pytest.approx(100.0, rel=0.1)
