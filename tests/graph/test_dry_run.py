"""A dry run: everything is commanded and nothing moves."""

from __future__ import annotations

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


@pytest.fixture
@retries.once_more
def rehearsal() -> Iterator[Bench]:
    """The bimanual rig without its policy, in a dry run."""
    rig = rig_file.with_choices(rig_file.load("bimanual"), policy="none", hands={"left": "inspire"})
    rig = replace(rig, motion=replace(rig.motion, dry_run=True))
    with interruptible(), Session(rig, domain=own_domain()) as session:
        yield Bench(session)


def test_a_dry_run_tells_every_command_and_moves_nothing(rehearsal):
    commands = rehearsal.read(topics.command_dry("left", "arm").history(400))
    home = rehearsal.home("left")
    wanted = home.copy()
    wanted[3] += 0.3
    before = rehearsal.pose("left", "arm")
    rehearsal.chunk("left", wanted, frames=20)
    rehearsal.until(
        lambda: (
            (told := commands.next()) is not None and abs(told.position[3] - home[3] - 0.3) < 0.01
        ),
        "no such command",
    )
    assert np.abs(rehearsal.pose("left", "arm") - before).max() < 1e-3
