"""Time for what moves is never negative and never long, whatever is done to the clock; and a robot
that strays is noticed.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from xlvla_drivers.motion.passage import AHEAD_S, Passage
from xlvla_drivers.motion.player import LONGEST_STEP_S
from xlvla_drivers.motion.tracking import LAG_RAD, LAG_S, Tracking

HZ = 100.0


def test_ticks_on_time_pass_whole_periods():
    passage = Passage(HZ, simulated=False)
    now = 1_700_000_000.0
    for _ in range(5):
        assert passage.tick(now, 0) == (pytest.approx(1 / HZ), "")
        time.sleep(1 / HZ)
        now += 1 / HZ


@pytest.mark.parametrize("simulated", [False, True])
@pytest.mark.parametrize("by", [-3600.0, -1.5, -0.5, 1.5, 3600.0])
def test_a_clock_that_is_set_is_told_and_one_period_passes(simulated, by):
    passage = Passage(HZ, simulated)
    passage.tick(10_000.0, 0)
    passed, line = passage.tick(10_000.0 + by, max(0, round(by * HZ) - 1))
    assert passed == pytest.approx(1 / HZ)
    assert ("back" if by < 0 else "forward") in line and f"{abs(by):.0f}" in line.replace(
        "0.50", "0"
    ).replace("1.50", "2")
    assert passage.tick(10_000.0 + by + 1 / HZ, 0) == (pytest.approx(1 / HZ), ""), (
        "from there on it is the clock"
    )


def test_missed_deadlines_pass_no_more_than_the_longest_step():
    passage = Passage(HZ, simulated=True)
    passage.tick(10.0, 0)
    assert passage.tick(10.5, 49) == (LONGEST_STEP_S, "")


def test_a_small_correction_of_the_systems_clock_moves_nothing_further_than_real_time():
    passage = Passage(HZ, simulated=False)
    passage.tick(10.0, 0)
    passed, line = passage.tick(10.2, 19)
    assert passed < 0.1 and line == ""


def test_a_deadline_before_the_last_one_passes_no_negative_time():
    passage = Passage(HZ, simulated=False)
    passage.tick(10.0, 0)
    assert passage.tick(9.8, -21)[0] >= 0


def test_many_small_corrections_of_the_systems_clock_move_nothing_further_than_real_time():
    passage = Passage(HZ, simulated=False)
    began_s = time.monotonic()
    passed_s = [passage.tick(10.0 + 0.02 * number, 1)[0] for number in range(100)]
    assert sum(passed_s) < 1 / HZ + AHEAD_S + time.monotonic() - began_s + 1e-9


def test_a_loop_that_loses_its_processor_after_it_has_read_the_clock_loses_no_time():
    passage = Passage(HZ, simulated=False)
    passage.tick(10.0, 0)
    time.sleep(0.045)
    passed_s = [passage.tick(10.01, 0)[0], passage.tick(10.04, 2)[0], passage.tick(10.05, 0)[0]]
    assert passed_s == [pytest.approx(0.01), pytest.approx(0.03), pytest.approx(0.01)]


def test_an_arm_that_lags_is_where_it_was_commanded_and_one_that_is_held_is_not():
    tracking = Tracking(["elbow", "wrist"])
    line = ""
    lag = 15
    told = [np.array([0.02 * k, 0.0]) for k in range(100)]
    for k, command in enumerate(told):
        assert tracking.strayed(k * 0.02, command, told[max(0, k - lag)]) == ""
    for k in range(100, 200):
        line = line or tracking.strayed(k * 0.02, np.array([0.02 * k, 0.0]), told[-1])
    assert "joint 'elbow'" in line and f"allowed are {LAG_RAD}" in line


def test_what_was_commanded_long_ago_is_no_excuse():
    tracking = Tracking(["elbow"])
    for k in range(40):
        tracking.strayed(k * 0.02, np.array([1.0 if k < 5 else 0.0]), np.zeros(1))
    assert tracking.strayed(40 * 0.02, np.zeros(1), np.ones(1))
    assert LAG_S < 35 * 0.02


def test_what_was_commanded_before_the_clock_was_set_back_is_soon_no_excuse():
    tracking = Tracking(["elbow"])
    for k in range(20):
        assert not tracking.strayed(3600 + k * 0.02, np.ones(1), np.ones(1))
    times = 10 + 0.02 * np.arange(1, 40)
    lines = [tracking.strayed(now_s, np.zeros(1), np.ones(1)) for now_s in times]
    assert not lines[0], "it may be where it was commanded a moment ago"
    assert "joint 'elbow'" in lines[-1]
