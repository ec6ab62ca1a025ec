"""A dry run: everything is commanded and nothing moves."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rig_bench import Bench

import retries
from xlvla import rig_file
from xlvla.ros import topics
from xlvla.run import interruptible, own_domain
from xlvla_cli.ros.session import Session

AGAIN_S = 2.0


@pytest.fixture
@retries.once_more
def rehearsal() -> Iterator[Bench]:
    """The bimanual rig without its policy and camera, in a dry run."""
    rig = rig_file.with_choices(rig_file.load("bimanual"), policy="none", hands={"left": "inspire"})
    rig = replace(rig, cameras={}, motion=replace(rig.motion, dry_run=True))
    with interruptible(), Session(rig, domain=own_domain()) as session:
        yield Bench(session)


def test_a_dry_run_tells_every_command_and_moves_nothing(rehearsal):
    commands = rehearsal.read(topics.command_dry("left", "arm").history(400))
    home = rehearsal.home("left")
    wanted = home.copy()
    wanted[3] += 0.3
    before = rehearsal.pose("left", "arm")
    sent_s = -math.inf

    def commanded():
        nonlocal sent_s
        # On a machine that stood still a chunk comes too late, and is refused.
        if time.monotonic() > sent_s + AGAIN_S:
            rehearsal.chunk("left", wanted, frames=20)
            sent_s = time.monotonic()
        told = commands.next()
        return told is not None and abs(told.position[3] - home[3] - 0.3) < 0.01

    rehearsal.until(commanded, "no such command")
    assert np.abs(rehearsal.pose("left", "arm") - before).max() < 1e-3
