"""What comes out between a driver's targets and a robot's commands."""

from __future__ import annotations

import numpy as np
import pytest

from xlvla.hand import JointLimits
from xlvla_drivers.arms.target_follower import CATCH_UP, SLACK, TargetFollower

HZ = 250.0
SPEED = 3.0
ACCELERATION = 10.0


def follower(upper=10.0):
    limits = JointLimits(
        lower=np.full(1, -10.0),
        upper=np.full(1, upper),
        velocity=np.full(1, SPEED),
        effort=np.ones(1),
    )
    return TargetFollower(np.zeros(1), limits, ACCELERATION, 1 / HZ)


def played(arm, targets, until_s, began_s=0.0):
    """Velocities [n] rad/s and positions [n] rad once a period, of targets (time [s], angle)."""
    waiting = list(targets)
    velocities = []
    positions = []
    for number in range(1, round(until_s * HZ) + 1):
        now_s = began_s + number / HZ
        while waiting and waiting[0][0] <= now_s:
            sent_s, angle = waiting.pop(0)
            arm.follow(np.array([angle]), sent_s)
        arm.step(now_s)
        velocities.append(arm.velocity[0])
        positions.append(arm.position[0])
    return np.array(velocities), np.array(positions)


def acceleration(velocities):
    """The largest [rad/s^2] of a joint that was at rest."""
    return np.abs(np.diff(velocities, prepend=0.0)).max() * HZ - 1e-6


def ramp(rate_hz, velocity, seconds, jitter=0.0):
    """Targets of a joint that moves evenly, sent about `rate_hz` times a second."""
    random = np.random.default_rng(1)
    times = np.arange(0, seconds, 1 / rate_hz)
    sent = times + random.uniform(0, jitter / rate_hz, len(times))
    return [(float(time_s), velocity * float(time_s)) for time_s in sent]


@pytest.mark.parametrize("rate_hz", [50.0, 100.0, 200.0, 333.0, 1000.0])
@pytest.mark.parametrize("velocity", [2.0, -0.5])
def test_an_even_motion_comes_out_even_at_any_rate(rate_hz, velocity):
    velocities, positions = played(follower(), ramp(rate_hz, velocity, 2.0), 2.0)
    settled = velocities[len(velocities) // 2 :]
    np.testing.assert_allclose(settled, velocity, rtol=1e-6)
    assert positions[-1] == pytest.approx(velocity * (2.0 - SLACK / rate_hz), abs=1e-3)


def test_targets_that_come_unevenly_never_stop_a_joint():
    velocities, _ = played(follower(), ramp(100.0, 2.0, 2.0, jitter=0.5), 2.0)
    settled = velocities[len(velocities) // 2 :]
    assert settled.min() > 1.5
    assert settled.max() < 2.5
    assert acceleration(velocities) <= CATCH_UP * ACCELERATION


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("after_s", [1.0 + phase / HZ for phase in range(5)])
def test_a_joint_whose_targets_run_out_brakes_within_its_acceleration(told, after_s):
    arm = follower()
    before, positions = played(arm, ramp(200.0, 2.0, after_s), after_s)
    if told:
        arm.brake()
    after, ends = played(arm, [], 1.0, began_s=after_s)
    assert ends[-1] - positions[-1] == pytest.approx(2.0**2 / (2 * ACCELERATION), abs=0.02)
    braking = np.concatenate((before[-1:], after))
    assert np.abs(np.diff(braking)).max() * HZ <= ACCELERATION + 1e-6
    assert after[-1] == 0


def test_a_target_that_no_other_follows_is_reached_and_not_passed():
    velocities, positions = played(follower(), [(0.0, 1.5)], 2.0)
    assert positions.max() == pytest.approx(1.5, abs=1e-4)
    assert positions[-1] == pytest.approx(1.5)
    assert velocities.max() == SPEED
    assert acceleration(velocities) <= CATCH_UP * ACCELERATION


@pytest.mark.parametrize("rate_hz", [50.0, 100.0, 200.0])
def test_targets_that_stop_as_hard_as_a_joint_may_are_not_overrun(rate_hz):
    to_full_s = SPEED / ACCELERATION
    times = np.arange(0, 1.0, 1 / rate_hz)
    speeds = np.interp(times, [0, to_full_s, 0.5, 0.5 + to_full_s], [0, SPEED, SPEED, 0])
    angles = np.cumsum(speeds) / rate_hz
    velocities, positions = played(follower(), zip(times, angles, strict=True), 1.5)
    assert positions[-1] == pytest.approx(angles[-1])
    assert positions.max() <= angles[-1] + 1e-3
    assert acceleration(velocities) <= CATCH_UP * ACCELERATION


def test_targets_that_leap_to_and_fro_are_followed_within_the_acceleration():
    leaps = [(number / 100, float(number // 7 % 2)) for number in range(100)]
    velocities, _ = played(follower(), leaps, 1.5)
    assert velocities.min() < 0 < velocities.max()
    assert acceleration(velocities) <= CATCH_UP * ACCELERATION


@pytest.mark.parametrize("beyond", [0.0, 0.5])
def test_a_joint_whose_targets_run_out_before_its_limit_stops_inside(beyond):
    upper = 1.0 - beyond
    velocities, positions = played(follower(upper), ramp(200.0, 2.0, 0.5), 1.5)
    assert positions.max() <= upper
    assert positions[-1] == pytest.approx(upper, abs=0.02)
    assert acceleration(velocities) <= CATCH_UP * ACCELERATION


@pytest.mark.parametrize("stamps", [(0.1, 0.1), (0.1, 0.0), (0.1, np.nan), (np.inf, np.inf)])
def test_targets_whose_times_are_of_no_use_are_each_gone_to(stamps):
    arm = follower()
    for stamp_s in stamps:
        arm.follow(np.array([0.3]), stamp_s)
    velocities, positions = played(arm, [], 1.0)
    assert positions[-1] == pytest.approx(0.3)
    assert acceleration(velocities) <= CATCH_UP * ACCELERATION


def test_a_stream_that_ends_at_rest_ends_at_its_last_target():
    targets = [(number / 100, 0.4 * np.sin(number / 200 * np.pi) ** 2) for number in range(101)]
    _, positions = played(follower(), targets, 1.5)
    assert positions[-1] == pytest.approx(0.4, abs=2e-3)


def test_what_is_held_is_at_rest():
    arm = follower()
    played(arm, ramp(200.0, 2.0, 0.5), 0.5)
    arm.hold(np.array([0.3]))
    velocities, positions = played(arm, [], 0.2, began_s=0.5)
    assert (velocities == 0).all()
    assert (positions == 0.3).all()


def test_a_stream_that_goes_on_after_a_gap_is_caught_up_with_at_the_speed_allowed():
    arm = follower()
    before, _ = played(arm, ramp(100.0, 1.0, 0.5), 0.5)
    later = [(1.0 + time_s, 1.0 + angle) for time_s, angle in ramp(100.0, 1.0, 1.0)]
    after, positions = played(arm, later, 1.5, began_s=0.5)
    assert after.max() <= SPEED
    assert acceleration(np.concatenate((before, after))) <= CATCH_UP * ACCELERATION
    behind = later[-1][1] - positions[round(1.48 * HZ)]
    assert behind == pytest.approx(SLACK / 100, abs=0.02)


@pytest.mark.parametrize("goes_on", [True, False])
@pytest.mark.parametrize("pause_s", [0.05, 1.0])
def test_a_joint_that_was_not_commanded_for_a_while_begins_with_what_is_left_of_its_speed(
    pause_s, goes_on
):
    """The process of the follower stood still: the joint waited at its last command."""
    arm = follower()
    targets = ramp(100.0, 2.0, 1.0 + pause_s + 0.5)
    before, _ = played(arm, [target for target in targets if target[0] <= 1.0], 1.0)
    assert before[-1] == pytest.approx(2.0)
    later = [target for target in targets if target[0] > 1.0]
    after, _ = played(arm, later if goes_on else [], 0.5, began_s=1.0 + pause_s)
    left = before[-1] / (pause_s * HZ)
    assert after[0] <= left + CATCH_UP * ACCELERATION / HZ
    assert np.abs(np.diff(after)).max() * HZ <= CATCH_UP * ACCELERATION + 1e-6
    if goes_on:
        assert after[-1] > 1.5
    else:
        assert after[-1] == 0
