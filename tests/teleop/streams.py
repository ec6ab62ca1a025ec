"""What the tests of sources share."""

from __future__ import annotations

import time

import numpy as np

from xlvla import human
from xlvla_drivers.device import LinkLost
from xlvla_drivers.emulators import person

WAIT_S = 15.0


def until(value, both=False):
    """Waits until `value()` is there; its sides, where both hands are asked for."""
    give_up = time.monotonic() + WAIT_S
    sides = {}
    while True:
        found = value()
        if both and found:
            sides |= found.sides
        if found and (not both or len(sides) == 2):
            return sides if both else found
        assert time.monotonic() < give_up, "it did not come"
        time.sleep(0.001)


def steady(moves, at_s):
    """A person who stands still but for a tremor too small to matter."""

    def moved(side, time_s):
        pose, keypoints = moves(side, at_s)
        pose[0, 3] += 1e-4 * (time_s % 1.0)
        return pose, keypoints

    return moved


def until_lost(source):
    """Reads until the connection is gone."""

    def lost():
        try:
            source.read(0.1)
        except LinkLost:
            return True
        return False

    until(lost)


def assert_seen(hands, at_s):
    """What was tracked are the person's hands at that time."""
    for side, tracked in hands.items():
        pose, keypoints = person.hand(side, at_s)
        np.testing.assert_allclose(tracked.T_world_wrist, pose, atol=2e-3)
        np.testing.assert_allclose(
            human.aligned(side, tracked.keypoints), human.aligned(side, keypoints), atol=1e-5
        )
