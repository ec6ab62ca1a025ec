"""No message ends a node: each takes whatever comes on the topics it hears, counts what is invalid,
and goes on. These are the nodes of a simulated rig.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

pytest.importorskip("rclpy")

from stranger import Attacked, running, told_everything, took_everything

import retries
from xlvla import rig_file
from xlvla.recording import RecorderConfig

NODES = ("sim", "joint_states", "teleop", "recorder", "scripted_operator", "policy")


@pytest.fixture(scope="module")
@retries.once_more
def simulated(untrained_weights, tmp_path_factory) -> Iterator[Attacked]:
    """A simulated rig with everything that can be in one, after everything strange was said to it;
    what motion takes is tried with motion.
    """
    driven = rig_file.load("teleop_scripted")
    decided = rig_file.with_choices(rig_file.load("bimanual"), checkpoint=str(untrained_weights(2)))
    recorder = RecorderConfig(folder=str(tmp_path_factory.mktemp("recordings")))
    rig = replace(driven, policy=decided.policy, recorder=recorder)
    with running(rig, without=("motion",)) as stranger:
        yield told_everything(stranger, NODES)


@pytest.mark.parametrize("node", NODES)
def test_a_node_of_a_simulated_rig_takes_whatever_comes_and_goes_on(simulated, node):
    took_everything(simulated, node)
