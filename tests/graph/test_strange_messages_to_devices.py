"""No message ends a node: each takes whatever comes on the topics it hears, counts what is invalid,
and goes on. These are the nodes of a rig of devices.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy")

from stranger import Attacked, running, told_everything, took_everything

import retries
from xlvla import rig_file

NODES = ("left_arm", "right_hand", "emulators", "mirror", "joint_states")


@pytest.fixture(scope="module")
@retries.once_more
def emulated() -> Iterator[Attacked]:
    rig = rig_file.with_choices(rig_file.load("bimanual_emulated"), policy="none")
    with running(rig, without=("motion",)) as stranger:
        yield told_everything(stranger, NODES)


@pytest.mark.parametrize("node", NODES)
def test_a_node_of_a_rig_of_devices_takes_whatever_comes_and_goes_on(emulated, node):
    took_everything(emulated, node)
