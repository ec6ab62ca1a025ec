"""Short chunks in quick succession, as an operator's hand makes them: followed without fighting
over a gap.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from xlvla import rig_file
from xlvla_drivers.motion.chunk import Refused
from xlvla_drivers.motion.sides import side_player

RIG = rig_file.load("teleop_topics")
HOME = np.array(list(RIG.start("right").values()))
TICK_S = 0.005
EVERY_S = 1 / 90


def streamed(wanted, seconds, begins_at):
    """Commands [T, N] rad of a player that is told every 11 ms where `wanted(time)` is and how it
    goes on.
    """
    player = side_player(RIG, "right")
    path = []
    next_s = 0.0
    for tick in range(round(seconds / TICK_S)):
        now_s = tick * TICK_S
        if now_s >= next_s:
            speed = (wanted(now_s) - wanted(now_s - 0.01)) / 0.01
            points = wanted(now_s) + np.arange(1, 4)[:, None] / 25 * speed
            with suppress(Refused):  # a speed told across a gap is none
                player.offer(points, player.joints, now_s, 25.0, now_s + 1e-4, measured=begins_at)
            next_s += EVERY_S
        path.append(player.command(now_s + 1e-4, begins_at))
    return np.array(path), player


@pytest.mark.parametrize("gap", [0.02, 0.1, 0.45])
def test_a_gap_closes_quickly_without_going_beyond(gap):
    """Of what a stream suddenly says elsewhere, once it is played."""
    there = HOME.copy()
    there[3] += gap
    path, player = streamed(lambda now_s: HOME if now_s < 1.5 else there, 3.0, HOME)
    assert np.abs(path[-1] - there).max() < 2e-3
    assert path[:, 3].max() < there[3] + 0.05 * gap
    quick = np.flatnonzero(np.abs(path[:, 3] - there[3]) < 0.1 * gap)[0] * TICK_S - 1.5
    assert quick < 0.6
    assert player.counts["limited"] < 30


def test_an_even_movement_is_followed_without_lag():
    def wanted(now_s):
        pose = HOME.copy()
        pose[3] += 0.5 * max(now_s - 1.2, 0.0)
        return pose

    path, _ = streamed(wanted, 3.0, HOME)
    now_s = np.arange(len(path)) * TICK_S
    behind = np.array([wanted(t)[3] for t in now_s]) - path[:, 3]
    assert np.abs(behind[now_s > 2.2]).max() < 0.003, "6 ms at half a radian a second"
