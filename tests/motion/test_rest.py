"""Whether a recorded stop came to rest within limits, and time that a loop did not live through."""

from __future__ import annotations

import numpy as np
import pytest

from xlvla_drivers import rest
from xlvla_drivers.rest import PoseSeries

LIMIT = np.array([20.0, 20.0])
PERIOD_S = 0.005


def braked(at_rad_s2: float = 20.0, speed: float = 2.5, until: float = 1.0) -> PoseSeries:
    """One joint of two moves evenly, brakes from 0.3 s on and rests, at stamps every 5 ms."""
    times = np.arange(0, until, PERIOD_S)
    passed = np.clip(times - 0.3, 0, speed / at_rad_s2)
    way = speed * np.minimum(times, 0.3) + speed * passed - at_rad_s2 * passed**2 / 2
    return PoseSeries(times, np.stack([way, np.zeros(len(times))], axis=1))


def test_a_stop_within_limits_rests_and_shows_the_whole_of_its_limit():
    stop = braked()
    assert stop.share(2, LIMIT) == pytest.approx(1.0, abs=1e-6)
    assert stop.last_speed() == 0
    assert stop.commands_to_rest(0.3) == (25, pytest.approx(0.125))
    assert rest.rests(stop)


def test_a_stop_that_is_too_hard_is_seen_whatever_the_stamps():
    assert braked(40.0).share(2, LIMIT) == pytest.approx(2.0, abs=1e-6)
    stop = braked(40.0)
    kept = np.random.default_rng(0).random(200) < 0.7
    thinned = PoseSeries(stop.times_s[kept], stop.poses[kept])
    assert 1.5 < thinned.share(2, LIMIT) <= 2.0 + 1e-6


def test_commands_within_limits_never_seem_to_exceed_them_where_some_were_lost():
    rng = np.random.default_rng(1)
    stop = braked()
    for _ in range(50):
        kept = rng.random(len(stop)) < 0.5
        assert PoseSeries(stop.times_s[kept], stop.poses[kept]).share(2, LIMIT) <= 1 + 1e-6


def test_a_stamp_too_early_for_its_step_is_seen():
    stop = braked()
    times = stop.times_s.copy()
    times[70:] -= (
        0.8 * PERIOD_S
    )  # as of a node that begins its stop at once, not at the next deadline
    assert PoseSeries(times, stop.poses).share(2, LIMIT) > 10


def test_what_a_loop_did_not_live_through_is_no_acceleration_of_its_commands():
    steady = braked(speed=4.0)
    times = steady.times_s.copy()
    times[30:] += 0.2
    assert PoseSeries(times, steady.poses).share(2, LIMIT) <= 1.001
    times = steady.times_s.copy()
    times[30:] += 0.03
    assert PoseSeries(times, steady.poses).share(2, LIMIT) > 5


def test_a_stream_that_ends_in_motion_does_not_rest():
    stop = braked(until=0.35)
    assert stop.last_speed() > 1
    assert stop.commands_to_rest(0.3) is None
    assert not rest.rests(stop)


def test_a_device_is_seen_to_accelerate_as_it_does_and_a_pause_between_reports_is_no_leap():
    times = np.arange(0, 1, 0.01)
    gentle, hard = (
        PoseSeries(times, np.stack([np.interp(times, s.times_s, s.poses[:, 0]), 0 * times], axis=1))
        for s in (braked(), braked(200.0, speed=4.0))
    )
    assert 0.7 < rest.measured_share(gentle, LIMIT) <= 1.01
    assert rest.measured_share(hard, LIMIT) > 1.5
    away = np.concatenate([np.zeros(50), np.ones(50)])
    paused = PoseSeries(times + 2.0 * away, np.stack([away, away], axis=1))
    assert rest.measured_share(paused, LIMIT) == 0
    assert rest.fastest(paused, 0.0) == 0
    assert rest.moved(paused, 0.0) == 1


def test_stamps_that_do_not_rise_are_left_out():
    told = [
        (0.0, np.zeros(1)),
        (0.1, np.ones(1)),
        (0.1, np.full(1, 7.0)),
        (0.05, np.full(1, 9.0)),
        (0.2, np.full(1, 2.0)),
    ]
    assert PoseSeries.of(told, 1).poses.ravel().tolist() == [0, 1, 2]
    assert len(PoseSeries.of([], 3)) == 0
