"""What comes out between a driver's targets and a robot's commands."""

from __future__ import annotations

import numpy as np
import pytest

from xlvla_drivers.arms.target_follower import SLACK, TargetFollower

HZ = 250.0
SPEED = 3.0
BRAKES = 10.0


def follower():
    return TargetFollower(np.zeros(1), SPEED, BRAKES)


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
        arm.step(now_s, 1 / HZ)
        velocities.append(arm.velocity[0])
        positions.append(arm.position[0])
    return np.array(velocities), np.array(positions)


def slows_by(velocities):
    """The largest deceleration [rad/s^2] of a joint that moves forwards."""
    return -np.diff(velocities).min() * HZ - 1e-6


def ramp(rate_hz, velocity, seconds, jitter=0.0):
    """Targets of a joint that moves evenly, sent about `rate_hz` times a second."""
    random = np.random.default_rng(1)
    times = np.arange(0, seconds, 1 / rate_hz)
    sent = times + random.uniform(0, jitter / rate_hz, len(times))
    return [(float(time_s), velocity * float(time_s)) for time_s in sent]


@pytest.mark.parametrize("rate_hz", [50.0, 100.0, 200.0, 333.0, 1000.0])
@pytest.mark.parametrize("velocity", [2.0, -0.5])
def test_an_even_motion_comes_out_even_at_any_rate(rate_hz, velocity):
    velocities, positions = played(follower(), ramp(rate_hz, velocity, 1.0), 1.0)
    settled = velocities[len(velocities) // 4 :]
    np.testing.assert_allclose(settled, velocity, rtol=1e-6)
    assert positions[-1] == pytest.approx(velocity * (1.0 - SLACK / rate_hz), abs=1e-3)


def test_targets_that_come_unevenly_never_stop_a_joint():
    velocities, _ = played(follower(), ramp(100.0, 2.0, 1.0, jitter=0.5), 1.0)
    settled = velocities[len(velocities) // 4 :]
    assert settled.min() > 1.5
    assert settled.max() < 2.5
    assert slows_by(settled) <= BRAKES


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("after_s", [0.5 + phase / HZ for phase in range(5)])
def test_a_joint_whose_targets_run_out_brakes_within_its_acceleration(told, after_s):
    arm = follower()
    before, positions = played(arm, ramp(200.0, 2.0, after_s), after_s)
    if told:
        arm.brake()
    after, ends = played(arm, [], 1.0, began_s=after_s)
    assert ends[-1] - positions[-1] == pytest.approx(2.0**2 / (2 * BRAKES), abs=0.02)
    assert slows_by(np.concatenate((before, after))) <= BRAKES
    assert after[-1] == 0


def test_a_target_that_no_other_follows_is_reached_and_not_passed():
    velocities, positions = played(follower(), [(0.0, 0.8)], 2.0)
    assert positions.max() == pytest.approx(0.8, abs=1e-4)
    assert positions[-1] == pytest.approx(0.8)
    assert velocities.max() == SPEED
    assert slows_by(velocities) <= BRAKES


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
    played(arm, ramp(100.0, 1.0, 0.5), 0.5)
    later = [(1.0 + time_s, 1.0 + angle) for time_s, angle in ramp(100.0, 1.0, 0.5)]
    velocities, positions = played(arm, later, 1.0, began_s=0.5)
    assert velocities.max() <= SPEED
    assert slows_by(velocities) <= BRAKES
    behind = later[-1][1] - positions[round(0.98 * HZ)]
    assert behind == pytest.approx(SLACK / 100, abs=0.02)
