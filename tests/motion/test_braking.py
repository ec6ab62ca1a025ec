"""The quickest stop in closed form, against the library that plans it and against its own
promises.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import ruckig

from xlvla_drivers.motion.braking import Braking
from xlvla_drivers.motion.steps import State

JOINTS = 400


def some(seed):
    rng = np.random.default_rng(seed)
    acceleration = rng.uniform(5, 150, JOINTS)
    state = State(
        rng.normal(size=JOINTS),
        3 * rng.normal(size=JOINTS),
        rng.uniform(-1, 1, JOINTS) * acceleration,
    )
    state.velocity[:40] = 0
    state.acceleration[20:80] = 0
    return state, acceleration, acceleration / rng.uniform(0.02, 0.1, JOINTS)


def planned(state, acceleration, jerk, seconds):
    given = ruckig.InputParameter(JOINTS)
    way = ruckig.Trajectory(JOINTS)
    given.control_interface = ruckig.ControlInterface.Velocity
    given.synchronization = ruckig.Synchronization.No
    given.max_acceleration = acceleration.tolist()
    given.max_jerk = jerk.tolist()
    given.current_position = state.position.tolist()
    given.current_velocity = state.velocity.tolist()
    given.current_acceleration = state.acceleration.tolist()
    given.target_velocity = [0.0] * JOINTS
    assert ruckig.Ruckig(JOINTS).calculate(given, way) in (
        ruckig.Result.Working,
        ruckig.Result.Finished,
    )
    return State(*(np.array(row) for row in way.at_time(seconds)))


@pytest.mark.parametrize("seconds", [0.001, 0.005, 0.02, 0.05, 0.1, 0.3, 1.5])
def test_the_stop_is_the_one_that_ruckig_plans(seconds):
    state, acceleration, jerk = some(0)
    ours = Braking(state, acceleration, jerk).at(seconds)
    theirs = planned(state, acceleration, jerk, seconds)
    assert ours.position == pytest.approx(theirs.position, abs=1e-9)
    assert ours.velocity == pytest.approx(theirs.velocity, abs=1e-9)
    assert ours.acceleration == pytest.approx(theirs.acceleration, abs=1e-6)


def test_the_rest_of_a_stop_is_the_stop_from_there():
    state, acceleration, jerk = some(1)
    whole = Braking(state, acceleration, jerk)
    now = state
    for tick in range(1, 300):
        now = Braking(now, acceleration, jerk).at(0.005)
        assert now.position == pytest.approx(whole.at(tick * 0.005).position, abs=1e-9)
    assert not now.velocity.any() and not now.acceleration.any()


def test_low_and_high_are_what_the_stop_reaches():
    state, acceleration, jerk = some(2)
    stop = Braking(state, acceleration, jerk)
    path = (
        np.array([stop.at(seconds).position for seconds in np.linspace(0, stop.duration_s, 3000)])
        - state.position
    )
    assert (
        path.min(axis=0) == pytest.approx(stop.low, abs=1e-5)
        and (path.min(axis=0) >= stop.low - 1e-12).all()
    )
    assert (
        path.max(axis=0) == pytest.approx(stop.high, abs=1e-5)
        and (path.max(axis=0) <= stop.high + 1e-12).all()
    )


@pytest.mark.parametrize("parts", [1, 4, 16])
def test_a_part_of_the_stop_is_no_longer_than_from_end_to_end_and_its_wiggle(parts):
    state, acceleration, jerk = some(3)
    stop = Braking(state, acceleration, jerk)
    times = np.linspace(0, stop.duration_s, parts + 1)
    for begin, end in pairwise(times):
        first = stop.at(begin).position
        last = stop.at(end).position
        for seconds in np.linspace(begin, end, 20):
            between = stop.at(seconds).position
            way = np.abs(between - first) + np.abs(last - between)
            assert (way <= np.abs(last - first) + stop.wiggle * (end - begin) ** 2 + 1e-12).all()


def test_what_rests_stops_at_once():
    stop = Braking(State.rest(np.ones(3)), np.ones(3), np.ones(3))
    assert stop.duration_s == 0.0 and not stop.low.any() and not stop.high.any()
    assert (stop.at(0.0).position == 1).all()
