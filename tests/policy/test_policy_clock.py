"""A policy's node when the system's clock is set back: its loop in this process."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy

import clock_set_back
from xlvla import rig_file
from xlvla.ros import convert, topics
from xlvla.ros.clock import Clock
from xlvla.ros.reader import Reader
from xlvla.run import own_domain
from xlvla_policy.nodes.policy import PolicyNode

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

    def newest_ns():
        for publisher, message, pose in states:
            publisher.publish(message.fill(time.time_ns(), pose))
        time.sleep(0.05)
        chunk = chunks.newest()
        return convert.nanoseconds(chunk.header.stamp) if chunk else None

    with clock_set_back.running(node.work):
        clock_set_back.stamps_follow(monkeypatch, newest_ns)
