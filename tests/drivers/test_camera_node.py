"""The node of one camera, by itself: a video file that is there, goes and comes back."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy")
cv2 = pytest.importorskip("cv2")

from xlvla import catalog
from xlvla.ros import convert, supervision, topics
from xlvla.ros.reader import Reader
from xlvla.run import own_domain
from xlvla_cli.ros.operator import Operator

SIZE = (192, 108)
RATE_HZ = 30.0


@pytest.fixture
def film(tmp_path):
    """Five seconds with a bright left half."""
    path = str(tmp_path / "film.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), RATE_HZ, SIZE)
    for _ in range(150):
        picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        picture[:, : SIZE[0] // 2] = (0, 0, 200)
        writer.write(picture)
    writer.release()
    return path


@pytest.fixture
def rig(tmp_path, film):
    document = yaml.safe_load(catalog.rigs()["bimanual_emulated"].read_text())
    document["cameras"]["front"] |= {
        "publish": [64, 48],
        "rate_hz": 20,
        "device": {"address": film, "driver": "video", "options": {"loop": False}},
    }
    path = tmp_path / "rig.yaml"
    path.write_text(yaml.safe_dump(document))
    return str(path)


@pytest.fixture
def graph(rig):
    """The node, and somebody who listens."""
    domain = own_domain()
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), supervision.PARENT: str(os.getpid())}
    parameters = ["-p", f"rig:={rig}", "-p", "part:=front", "-r", "__node:=camera_front"]
    with Operator(domain=domain) as operator:
        readers = {
            topic.name: Reader(operator.node, topic.history(100))
            for topic in (topics.image("front"), topics.camera_info("front"))
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "xlvla_drivers.nodes.camera", "--ros-args", *parameters],
            env=environment,
        )
        yield operator, readers
        process.terminate()
        assert process.wait(timeout=10) == 0


def test_a_camera_publishes_what_the_rig_asks_for_and_says_when_it_is_gone(graph):
    operator, (images, infos) = graph[0], graph[1].values()
    seen = []
    lenses = []
    told = {}
    until = time.monotonic() + 30.0
    while "has ended" not in told.get("", "") and time.monotonic() < until:
        seen += _all(images)
        lenses += _all(infos)
        told = operator.figures().get("camera_front", {}) or told
        time.sleep(0.05)
    stamps = np.array([convert.nanoseconds(message.header.stamp) for message in seen]) / 1e9
    assert len(seen) > 5 and np.diff(stamps).min() == pytest.approx(1 / RATE_HZ, abs=1e-3)
    assert len(seen) <= 1.05 * 20 * (stamps[-1] - stamps[0]) + 1
    picture = convert.picture(seen[-1])
    assert picture.shape == (48, 64, 3) and picture[24, 10, 0] > 150 > picture[24, 54, 0]
    assert (lenses[-1].width, lenses[-1].height, lenses[-1].k[2]) == (64, 48, 32.0)
    assert lenses[-1].header == seen[-1].header and seen[-1].header.frame_id == "front"
    assert int(told["pictures"]) > 10 and told["losses"] == "1"


def _all(reader):
    taken = []
    while (message := reader.next()) is not None:
        taken.append(message)
    return taken
