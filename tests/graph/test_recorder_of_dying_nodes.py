"""A recorder beside nodes that die; each test has a rig of its own."""

from __future__ import annotations

import signal
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("mcap")
cv2 = pytest.importorskip("cv2")

from recording_desk import Desk, recorded_rig, recorder

from xlvla import graph, rig_file
from xlvla.device import DeviceConfig
from xlvla.recording import RecorderConfig
from xlvla.ros import topics
from xlvla.ros.reader import Reader
from xlvla.run import NodeDied, Supervisor, interruptible, own_domain
from xlvla_cli.ros.operator import Operator
from xlvla_cli.ros.session import Session
from xlvla_data.bag.card import read_episode_card
from xlvla_data.bag.reader import Bag


def test_a_simulation_that_dies_ends_the_episode_cleanly_and_the_verdict_says_it(tmp_path):
    rig = recorded_rig(tmp_path)
    with interruptible(), pytest.raises(NodeDied), Session(rig, domain=own_domain()) as session:
        desk = Desk(session.operator, rig, session.supervisor.check)
        folder = desk.record(1.5)
        next(node for node in session.supervisor.nodes if node.spec.name == "sim").kill(
            signal.SIGKILL
        )
        desk.until(lambda: False, "the rig did not stop")
    card = read_episode_card(folder)
    assert Bag(folder).whole and (card.state, card.verdict) == ("stopped", "red")
    assert "red: node 'sim' was killed by SIGKILL, so the rig stopped" in card.findings


@pytest.fixture
def film(tmp_path) -> str:
    path = str(tmp_path / "film.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (160, 120))
    noise = np.random.default_rng(0)
    for _ in range(100):
        writer.write(noise.integers(0, 255, (120, 160, 3), np.uint8))
    writer.release()
    return path


def test_a_camera_that_dies_is_told_while_it_is_recorded_and_after(tmp_path, film):
    """The camera's process alone, as on a machine of its own."""
    rig = rig_file.with_choices(rig_file.load("bimanual_emulated"), policy="none")
    camera = replace(
        rig.cameras["front"],
        rate_hz=20.0,
        publish=(160, 120),
        device=DeviceConfig(address=film, driver="video"),
    )
    rig = replace(
        rig,
        cameras={"front": camera},
        recorder=RecorderConfig(folder=str(tmp_path), least_free_gb=1e-6),
    )
    domain = own_domain()
    with (
        interruptible(),
        Operator(domain=domain) as operator,
        Supervisor(rig, graph.chosen(rig, only=["camera_front"]), domain=domain) as eye,
        recorder(rig, operator) as (desk, _),
    ):
        eye.wait_ready()
        seen = Reader(operator.node, topics.camera_info("front"))
        desk.until(seen.newest, "the camera shows nothing")
        folder = desk.record(2.0)
        assert not [line for line in desk.status["findings"] if "/cameras/front" in line]
        eye.nodes[0].kill(signal.SIGKILL)
        words = "/cameras/front/image_raw/compressed: fell silent"
        desk.until(
            lambda: any(words in line for line in desk.status["findings"]),
            "the silence is not told",
        )
        desk.until(
            lambda: any(word == "warn" and words in line for word, line in desk.cues),
            "there is no cue for it",
        )
        operator.call(topics.RECORDER_STOP)
    card = read_episode_card(folder)
    assert card.verdict == "red" and any(words in line for line in card.findings)
    assert Bag(folder).whole
