"""The last line before a device: what is sent, whatever is asked."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest

from xlvla import catalog
from xlvla.device import JointCalibration
from xlvla.errors import XlvlaError
from xlvla.rig import ArmStation, HandStation, Rig, Station
from xlvla_drivers.calibration import Calibration, command_limits
from xlvla_drivers.device import DeviceState
from xlvla_drivers.guard import NEAR_RAD, Guard, Refused

RATE_HZ, STALE_S, NOW_S = 200.0, 0.5, 1_000_000.0
ARM = catalog.arm("xarm7")
HOME = np.array([-0.134, -0.307, -0.156, 0.234, 2.770, 0.784, -1.423])


@pytest.fixture
def guard():
    return Guard(ARM.joints, ARM.limits, stale_s=STALE_S, rate_hz=RATE_HZ)


def command(position, guard):
    return dict(zip(guard.joints, position, strict=True))


def refused(guard, asked, *, age_s=0.0, now_s=NOW_S):
    with pytest.raises(Refused) as refusal:
        guard.offer(asked, now_s - age_s, now_s)
    return refusal.value.reason


def test_before_the_device_has_said_where_it_is_nothing_is_sent(guard):
    assert refused(guard, command(HOME, guard)) == "no device"
    with pytest.raises(XlvlaError):
        guard.target(NOW_S)


def test_whatever_is_asked_what_is_sent_is_finite_within_limits_and_near_what_was_sent_before(guard):
    random = np.random.default_rng(7)
    limits = guard.limits
    guard.anchor(HOME, NOW_S)
    before, now_s = guard.target(NOW_S), NOW_S
    for _ in range(3000):
        now_s += random.uniform(0.001, 0.05)
        wanted = before + random.normal(0, random.choice([0.01, 0.3, 10.0]), 7)
        wanted[random.integers(7)] = random.choice([wanted[0], np.nan, np.inf, -1e9], p=[0.9, 0.03, 0.03, 0.04])
        asked = dict(zip(guard.joints, wanted, strict=True))
        if random.random() < 0.05:
            asked.pop("joint3")
        with contextlib.suppress(Refused):
            guard.offer(asked, now_s - random.uniform(-0.1, 0.7), now_s)
        sent = guard.target(now_s)
        assert np.isfinite(sent).all() and (sent >= limits.lower).all() and (sent <= limits.upper).all()
        assert (np.abs(sent - before) <= 2 * limits.velocity / RATE_HZ + 1e-12).all()
        if random.random() < 0.02:
            guard.anchor(sent, now_s)
        before = sent
    assert {reason.removeprefix("refused: ") for reason in guard.counts} >= {"names", "not finite", "stale", "jump", "far", "accepted"}


def test_the_first_command_after_an_anchor_must_be_near_the_measured_pose(guard):
    guard.anchor(HOME, NOW_S)
    far = HOME.copy()
    far[3] += 1.5 * NEAR_RAD
    assert refused(guard, command(far, guard)) == "far"
    assert (guard.target(NOW_S) == HOME).all()
    guard.offer(command(HOME + 0.5 * NEAR_RAD, guard), NOW_S, NOW_S)
    guard.offer(command(far, guard), NOW_S, NOW_S)
    assert guard.following


def test_a_command_made_before_the_anchor_is_void(guard):
    guard.anchor(HOME, NOW_S)
    assert refused(guard, command(HOME, guard), age_s=0.01) == "void"


def test_a_stale_command_holds_what_was_sent_last(guard):
    guard.anchor(HOME, NOW_S)
    guard.offer(command(HOME + 0.05, guard), NOW_S, NOW_S)
    last = guard.target(NOW_S)
    assert (guard.target(NOW_S + STALE_S + 0.01) == last).all()
    assert guard.counts["held"] == 1


@pytest.mark.parametrize(("age_s", "reason"), [(STALE_S + 0.01, "stale"), (-0.2, "stale")])
def test_a_stamp_far_from_now_is_refused(guard, age_s, reason):
    guard.anchor(HOME, NOW_S - 10)
    assert refused(guard, command(HOME, guard), age_s=age_s) == reason


def test_an_older_command_does_not_follow_a_newer_one(guard):
    guard.anchor(HOME, NOW_S - 10)
    guard.offer(command(HOME, guard), NOW_S, NOW_S)
    assert refused(guard, command(HOME, guard), age_s=0.1) == "order"


def test_names_that_are_unknown_or_missing_are_told(guard):
    guard.anchor(HOME, NOW_S)
    with pytest.raises(Refused, match="did you mean 'joint7'"):
        guard.offer({**command(HOME, guard), "joint77": 0.0}, NOW_S, NOW_S)
    with pytest.raises(Refused, match="'joint1' is missing and 5 more"):
        guard.offer({"joint2": 0.0}, NOW_S, NOW_S)


def test_a_pose_measured_outside_the_limits_is_held_and_then_only_moves_inwards(guard):
    outside = HOME.copy()
    outside[3] = guard.limits.lower[3] - 0.3
    guard.anchor(outside, NOW_S)
    assert (guard.target(NOW_S) == outside).all()
    guard.offer(command(np.clip(outside, guard.limits.lower, guard.limits.upper), guard), NOW_S, NOW_S)
    path = [guard.target(NOW_S)[3] for _ in range(10_000)]
    assert (np.diff([outside[3], *path]) >= 0).all()
    assert path[-1] <= guard.limits.lower[3] + 1e-9


def test_a_device_that_reports_nonsense_anchors_nothing(guard):
    with pytest.raises(XlvlaError, match="finite"):
        guard.anchor(np.full(7, np.nan), NOW_S)


def crooked(lower=0.0):
    """A hand whose index finger counts backwards from another zero."""
    return Calibration(catalog.hand("inspire").joint_names("left"), {"index_proximal_joint": JointCalibration(-1.0, 1.2 + lower, 1.1)})


def rig():
    return Rig("test", {"left": Station(ArmStation("xarm7"), HandStation("inspire"))}, sim=None)


def test_calibration_there_and_back_is_where_one_was_and_keeps_the_power():
    calibration, position = crooked(), np.linspace(0.1, 1.0, 6)
    assert np.allclose(calibration.joint(calibration.device(position)), position)
    reported = DeviceState(0, position, velocity=np.linspace(-1, 1, 6), effort=np.linspace(0.5, 2, 6))
    state = calibration.state(reported)
    assert np.allclose(state.position, calibration.joint(position))
    assert state.velocity is not None and state.effort is not None
    assert np.allclose(state.velocity * state.effort, reported.velocity * reported.effort)


def test_a_calibrated_device_is_never_sent_beyond_its_own_range_or_the_joints():
    calibration = crooked()
    limits = command_limits(rig(), "left", "hand", calibration)
    plain = catalog.hand("inspire").limits("left")
    for end in (limits.lower, limits.upper):
        device = calibration.device(end)
        assert (device >= plain.lower - 1e-12).all() and (device <= plain.upper + 1e-12).all()
        assert (end >= plain.lower).all() and (end <= plain.upper).all()
    assert (dataclasses.astuple(limits)[2] == plain.velocity).all()


def test_a_calibration_that_leaves_a_joint_no_angle_is_told():
    with pytest.raises(XlvlaError, match="left_hand_index_proximal_joint: its calibration leaves no angle"):
        command_limits(rig(), "left", "hand", crooked(lower=9.0))
