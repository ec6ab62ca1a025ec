"""A command within limits, however long the step to it is."""

from __future__ import annotations

import numpy as np
import pytest

from rows import rows
from xlvla_drivers.motion.limits import Bounds, Limiter
from xlvla_drivers.motion.steps import State, Steps

JOINTS = 200
SPEED = 2.0
ACCELERATION = 20.0
BOUNDS = Bounds(
    lower=np.full(JOINTS, -100.0),
    upper=np.full(JOINTS, 100.0),
    velocity=np.full(JOINTS, SPEED),
    acceleration=np.full(JOINTS, ACCELERATION),
    jerk=np.full(JOINTS, 10 * ACCELERATION),
)
TICK_S = 0.005


def swing(seconds: float, phase: np.ndarray, pace: float) -> State:
    """A target that swings faster than the joints may, and turns when they are near their limits
    of speed.
    """
    around = 2 * np.pi
    reach = 0.5 * pace
    position = reach * np.sin(around * seconds + phase)
    velocity = around * reach * np.cos(around * seconds + phase)
    return State(position, velocity, -(around**2) * position)


@pytest.mark.parametrize(("long_s", "pace"), rows((0.02, 0.05), (1.0, 0.9, 0.5)))
def test_in_a_long_step_no_joint_is_faster_than_its_limit_on_the_mean(long_s, pace):
    phase = np.linspace(0, 2 * np.pi, JOINTS, endpoint=False)
    limiter = Limiter(BOUNDS, np.zeros(JOINTS))
    now_s = 0.0
    for tick in range(1, 600):
        dt = long_s if tick % 20 == 0 else TICK_S
        now_s += dt
        before = limiter.state.position
        after = limiter.follow(swing(now_s, phase, pace), dt, pace).position
        assert np.abs(after - before).max() <= SPEED * dt


def test_a_joint_that_is_just_about_to_reach_its_limit_of_speed_has_a_step_or_none():
    jerk = 200.0
    slowest = -0.05
    steps = Steps(np.array([ACCELERATION]), np.array([jerk]))
    for acceleration in np.arange(1, 200) / 10:
        velocity = slowest + acceleration**2 / (2 * jerk)
        start = State(np.zeros(1), np.array([velocity]), np.array([-acceleration]))
        reached = steps.reach(
            start,
            np.array([-0.3]),
            (np.array([slowest]), np.array([1.0])),
            (np.array([-ACCELERATION]), np.array([ACCELERATION])),
            np.array([True]),
            TICK_S,
        )
        if reached is not None:
            after, _ = reached
            assert slowest - 1e-9 <= after.velocity[0] <= 1.0


@pytest.mark.parametrize("pace", [0.011, 0.1])
def test_a_target_that_would_be_caught_up_with_in_hours_is_braked_before(pace):
    """At a low pace, as before an obstacle, one that goes faster than that pace."""
    limiter = Limiter(BOUNDS, np.zeros(JOINTS))
    target = State(np.full(JOINTS, 20 * SPEED), np.full(JOINTS, SPEED), np.zeros(JOINTS))
    for _ in range(100):
        limiter.follow(target, TICK_S)
    assert (limiter.state.velocity > 0.9 * SPEED).all()
    stop = limiter.last.stop
    for _ in range(100):
        limiter.follow(target, TICK_S, pace)
    assert limiter.last.rests
    np.testing.assert_allclose(limiter.state.position, stop.start + stop.high)
