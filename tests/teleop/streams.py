"""What the tests of sources share."""

from __future__ import annotations

import time

WAIT_S = 15.0


def until(value, both=False):
    """Waits until `value()` is there; its sides, where both hands are asked for."""
    give_up, sides = time.monotonic() + WAIT_S, {}
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
