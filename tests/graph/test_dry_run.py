"""A dry run: everything is commanded and nothing moves."""

from __future__ import annotations

import numpy as np

from xlvla.ros import topics


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
