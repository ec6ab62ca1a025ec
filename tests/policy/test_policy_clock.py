"""A policy's node when the system's clock is set back: its loop in this process."""

from __future__ import annotations

import dataclasses
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy

from xlvla import rig_file
from xlvla.ros import convert, topics
from xlvla.ros.clock import Clock
from xlvla.ros.convert import SECOND
from xlvla.ros.reader import Reader
from xlvla.run import own_domain
from xlvla_policy.nodes.policy import PolicyNode

PATIENCE_S = 20.0
HOUR_NS = 3600 * SECOND
POLICIES = Path(__file__).parents[2] / "examples" / "policies"


@pytest.fixture
def node(monkeypatch):
    monkeypatch.setenv("XLVLA_POLICIES", str(POLICIES))
    rig = rig_file.with_choices(rig_file.load("bimanual_emulated"), policy="wave")
    rclpy.init(domain_id=own_domain())
    made = PolicyNode()
    made.rig = dataclasses.replace(rig, cameras={})
    made.clock = Clock()
    made.configure()
    yield made
    made.destroy_node()
    rclpy.shutdown()


def test_chunks_go_on_with_the_new_time_when_the_clock_is_set_back(node, monkeypatch):
    states = []
    for key in node.rig.parts:
        topic = topics.joint_states(*key)
        publisher = node.create_publisher(topic.type, topic.name, topic.qos)
        names = node.rig.joint_names(*key)
        states.append((publisher, convert.JointMessage(names), np.zeros(len(names))))
    chunks = Reader(node, topics.chunk("left", "policy"))
    end = threading.Event()
    loop = threading.Thread(target=node.work, args=(end,))
    loop.start()

    def until_decided_within(since_ns, to_ns):
        give_up_s = time.monotonic() + PATIENCE_S
        while True:
            assert time.monotonic() < give_up_s, "no chunk is of that time"
            for publisher, message, pose in states:
                publisher.publish(message.fill(time.time_ns(), pose))
            time.sleep(0.05)
            chunk = chunks.newest()
            if chunk and since_ns <= convert.nanoseconds(chunk.header.stamp) <= to_ns:
                return

    began_ns = time.time_ns()
    try:
        until_decided_within(began_ns, began_ns + HOUR_NS)
        really_ns = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: really_ns() - HOUR_NS)
        until_decided_within(began_ns - HOUR_NS, began_ns - HOUR_NS // 2)
    finally:
        end.set()
        loop.join()
