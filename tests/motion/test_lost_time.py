"""What a loop did not live through is told once, and small losses are not."""

from __future__ import annotations

import pytest

from xlvla_drivers.motion.lost_time import LostTime

HZ = 100.0
LONGEST_S = 0.5
STEP_S = 0.05


def test_a_long_pause_is_told_once():
    lost = LostTime(HZ, simulated=True, longest_s=LONGEST_S)
    assert lost.tick(0, 1 / HZ) == 0.0
    assert lost.tick(199, STEP_S) == pytest.approx(2.0 - STEP_S)
    assert lost.tick(0, 1 / HZ) == 0.0


def test_many_short_pauses_that_follow_each_other_are_one_long_one():
    lost = LostTime(HZ, simulated=True, longest_s=LONGEST_S)
    assert any(lost.tick(19, STEP_S) for _ in range(6))


def test_a_short_pause_now_and_then_is_none():
    lost = LostTime(HZ, simulated=True, longest_s=LONGEST_S)
    for _ in range(50):
        assert lost.tick(19, STEP_S) == 0.0
        assert not any(lost.tick(0, 1 / HZ) for _ in range(20))


def test_a_clock_of_the_system_that_is_set_loses_nothing():
    lost = LostTime(HZ, simulated=False, longest_s=LONGEST_S)
    assert lost.tick(360_000, 1 / HZ) == 0.0
