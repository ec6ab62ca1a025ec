"""The last line before a device: what is sent, whatever is asked."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from xlvla import catalog, rig_file
from xlvla.errors import XlvlaError
from xlvla.guard import HEADROOM, NEAR_RAD, Guard, Refused, part_guard
from xlvla_drivers.motion.limits import Bounds, Limiter
from xlvla_drivers.motion.sides import side_player
from xlvla_drivers.motion.steps import State

RATE_HZ = 200.0
STALE_S = 0.5
NOW_S = 1_000_000.0
ARM = catalog.arm("xarm7")
HOME = np.array([-0.134, -0.307, -0.156, 0.234, 2.770, 0.784, -1.423])
STILL = np.zeros(7)


class Desk:
    """A guard, the clocks it looks at, and what it sent."""

    def __init__(self, rate_hz=RATE_HZ, acceleration=ARM.acceleration):
        self.steady_s = 100.0
        self.ahead_s = NOW_S
        self.rate_hz = rate_hz
        acceleration = np.full(7, acceleration)
        self.guard = Guard(
            ARM.joints,
            ARM.limits,
            acceleration=acceleration,
            stale_s=STALE_S,
            rate_hz=rate_hz,
            clock=lambda: self.steady_s,
        )
        self.acceleration = acceleration
        self.times = []
        self.sent = []

    @property
    def now_s(self):
        """The clock of stamps."""
        return self.steady_s + self.ahead_s

    def ask(self, position, *, age_s=0.0, session="", now_s=None):
        now_s = self.now_s if now_s is None else now_s
        self.guard.offer(
            dict(zip(ARM.joints, position, strict=True)), now_s - age_s, now_s, session
        )

    def refused(self, position, **how):
        with pytest.raises(Refused) as refusal:
            self.ask(position, **how)
        return refusal.value.reason

    def send(self, dt=None):
        """Time passes, then a target is sent."""
        self.steady_s += 1 / self.rate_hz if dt is None else dt
        target = self.guard.target()
        self.times.append(self.steady_s)
        self.sent.append(target)
        return target

    def run(self, velocity, seconds):
        """A stream of commands that move evenly [J] rad/s, from where the guard holds; its last
        command.
        """
        position = self.guard.held.copy()
        for _ in range(round(seconds * self.rate_hz)):
            self.steady_s += 1 / self.rate_hz
            position = position + np.asarray(velocity) / self.rate_hz
            self.ask(position)
            self.send(0.0)
        return position

    def check_limits(self):
        """What was sent keeps position, velocity and acceleration limits, by differences of what
        was sent.
        """
        times = np.array(self.times)
        sent = np.array(self.sent)
        different = np.concatenate([[True], np.diff(times) > 0])
        times = times[different]
        sent = sent[different]
        velocity = np.diff(sent, axis=0) / np.diff(times)[:, None]
        middles = (times[1:] + times[:-1]) / 2
        acceleration = np.diff(velocity, axis=0) / np.diff(middles)[:, None]
        assert np.isfinite(sent).all()
        assert (sent >= ARM.limits.lower - 1e-9).all() and (sent <= ARM.limits.upper + 1e-9).all()
        assert (np.abs(velocity) <= ARM.limits.velocity * (1 + 1e-6)).all()
        assert (np.abs(acceleration) <= self.acceleration * (1 + 1e-6)).all(), np.abs(
            acceleration
        ).max()


@pytest.fixture
def desk():
    return Desk()


def limited_stream(rng, seconds=3.0):
    """Commands at 200 Hz of motion's own limiter towards targets that leap: as hard as motion may
    move.
    """
    limits = ARM.limits
    bounds = Bounds(
        limits.lower,
        limits.upper,
        limits.velocity,
        np.full(7, ARM.acceleration),
        np.full(7, ARM.acceleration / 0.04),
    )
    limiter = Limiter(bounds, HOME)
    target = HOME
    made = [HOME]
    for number in range(round(200 * seconds)):
        if number % 60 == 0:
            target = np.clip(made[-1] + rng.uniform(-1.0, 1.0, 7), limits.lower, limits.upper)
        made.append(limiter.follow(State.rest(target), 0.005).position)
    return np.array(made)


def test_before_the_device_has_said_where_it_is_nothing_is_sent(desk):
    assert desk.refused(HOME) == "no device"
    with pytest.raises(XlvlaError):
        desk.guard.target()


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_asked_what_is_sent_keeps_the_limits_and_comes_to_rest(seed):
    rng = np.random.default_rng(seed)
    desk = Desk(rate_hz=rng.choice([40.0, 100.0, 200.0, 250.0]))
    desk.guard.anchor(HOME)
    desk.send()
    every_s = 0.0
    next_s = 0.0
    silent_s = 0.0
    wanted = HOME
    for _ in range(4000):
        if rng.random() < 0.005:  # another stream: 5 to 250 Hz, smooth or leaping
            every_s = 1 / rng.uniform(5, 250)
            speed = rng.choice([0.0, 0.5, 3.0, 30.0])
            direction = rng.choice([-1.0, 1.0], 7) * speed
        if rng.random() < 0.002:
            silent_s = desk.steady_s + rng.uniform(0.1, 1.0)
        if rng.random() < 0.01 and every_s:
            direction = -direction
        while every_s and next_s <= desk.steady_s:
            next_s = max(next_s, desk.steady_s - 0.1) + every_s
            wanted = np.clip(
                wanted + direction * every_s, ARM.limits.lower - 0.2, ARM.limits.upper + 0.2
            )
            if rng.random() < 0.01:
                wanted = wanted + rng.normal(0, 0.4, 7)
            asked = wanted.copy()
            if rng.random() < 0.02:
                asked[rng.integers(7)] = rng.choice([np.nan, np.inf, -1e300])
            if desk.steady_s < silent_s:
                wanted = desk.guard.held.copy()
                continue
            with contextlib.suppress(Refused):
                desk.ask(asked, age_s=rng.uniform(-0.02, 0.02))
            if not desk.guard.following:
                wanted = desk.guard.held.copy()
        desk.send(rng.uniform(0.2, 1.9) / desk.rate_hz)
        if rng.random() < 0.001:
            desk.guard.stop("a test")
        if rng.random() < 0.01:
            desk.guard.release()
    for _ in range(round((STALE_S + 0.5) * desk.rate_hz)):
        desk.send()
    desk.check_limits()
    assert desk.guard.counts["accepted"] > 100
    assert (
        desk.guard.at_rest and not desk.guard.following and (desk.sent[-1] == desk.sent[-2]).all()
    )


def test_a_command_within_the_limits_is_sent_as_it_is(desk):
    commands = limited_stream(np.random.default_rng(1))
    desk.guard.anchor(HOME)
    for command in commands:
        desk.steady_s += 1 / RATE_HZ
        desk.ask(command)
        desk.send(0.0)
    assert np.abs(np.array(desk.sent) - commands).max() < 1e-9


@pytest.mark.parametrize("rate_hz", [40.0, 50.0, 100.0, 170.0, 250.0])
def test_a_stream_of_motion_is_followed_without_lag_at_any_rate_and_within_the_limits(rate_hz):
    rng = np.random.default_rng(2)
    commands = limited_stream(rng)
    desk = Desk(rate_hz, HEADROOM * ARM.acceleration)
    desk.guard.anchor(HOME)
    began_s = desk.steady_s
    next_command = 1
    wanted = []
    while next_command < len(commands) - 20:
        desk.steady_s += 1 / rate_hz
        while began_s + 0.005 * next_command <= desk.steady_s - rng.uniform(
            0.0, 0.003
        ):  # it takes a while to arrive
            made_s = began_s + 0.005 * next_command
            desk.ask(commands[next_command], age_s=desk.steady_s - made_s)
            next_command += 1
        desk.send(0.0)
        wanted.append(
            [
                np.interp((desk.steady_s - began_s) / 0.005, np.arange(len(commands)), joint)
                for joint in commands.T
            ]
        )
    desk.check_limits()
    assert (
        np.abs(np.array(desk.sent) - wanted).max() < 0.02
    )  # 6 ms at full speed; without the stream's velocity 15 ms and more
    assert desk.guard.counts["limited"] == 0


def test_guard_and_motion_have_the_same_acceleration_limits():
    for name in ("bimanual", "bimanual_emulated"):
        rig = rig_file.load(name)
        for side in rig.sides:
            both = np.concatenate([rig.acceleration(side, part) for part in ("arm", "hand")])
            assert np.allclose(both, side_player(rig, side).bounds.acceleration)


def test_the_first_command_after_an_anchor_must_be_near_the_measured_pose(desk):
    desk.guard.anchor(HOME)
    far = HOME.copy()
    far[3] += 1.5 * NEAR_RAD
    assert desk.refused(far) == "far"
    assert (desk.send() == HOME).all()
    desk.ask(HOME + 0.5 * NEAR_RAD)
    desk.ask(far)
    assert desk.guard.following


def test_a_first_command_may_be_where_a_finger_is_kept_by_what_it_holds(desk):
    desk.guard.anchor(HOME)
    kept = HOME.copy()
    kept[3] += 3 * NEAR_RAD
    assert desk.refused(kept) == "far"
    desk.guard.observe(kept)
    desk.ask(kept)
    desk.send()
    desk.check_limits()


def test_a_command_made_before_the_anchor_is_void(desk):
    desk.guard.anchor(HOME)
    assert desk.refused(HOME, age_s=0.01) == "discarded"


def test_a_stale_command_brakes_the_device_within_its_limits_to_rest(desk):
    desk.guard.anchor(HOME)
    last = desk.run([1.5, 0, 0, 0, 0, 0, 0], 0.5)
    for _ in range(round((STALE_S + 0.3) * RATE_HZ)):
        desk.send()
    desk.check_limits()
    assert desk.guard.at_rest and not desk.guard.following
    assert abs(desk.sent[-1][0] - last[0]) < 1.5**2 / (2 * ARM.acceleration) + 0.02
    assert desk.refused(HOME + 2 * NEAR_RAD) == "far"


def test_a_device_that_is_told_to_stay_is_at_rest(desk):
    desk.guard.anchor(HOME)
    desk.run([0.7, 0.3, -0.2, 0.1, 0, 0, 0.9], 0.2)
    desk.run(STILL, 0.5)
    assert desk.guard.at_rest and desk.guard.following


def test_one_that_returns_within_a_moment_is_followed_again(desk):
    desk.guard.anchor(HOME)
    desk.run([1.0, 0, 0, 0, 0, 0, 0], 0.5)
    for _ in range(round(0.2 * RATE_HZ)):
        desk.send()
    last = desk.run([1.0, 0, 0, 0, 0, 0, 0], 0.5)
    desk.check_limits()
    assert np.abs(desk.sent[-1] - last).max() < 0.01


@pytest.mark.parametrize(("age_s", "reason"), [(STALE_S + 0.01, "stale"), (-0.2, "stale")])
def test_a_stamp_far_from_now_is_refused(desk, age_s, reason):
    desk.guard.anchor(HOME)
    desk.steady_s += 10
    assert desk.refused(HOME, age_s=age_s) == reason


def test_an_older_command_does_not_follow_a_newer_one(desk):
    desk.guard.anchor(HOME)
    desk.steady_s += 0.3
    desk.ask(HOME)
    assert desk.refused(HOME, age_s=0.1) == "order"


@pytest.mark.parametrize("jump_s", [-100.0, -0.4, 0.3, 100.0])
def test_a_clock_of_stamps_that_is_set_neither_freezes_the_device_nor_moves_it(desk, jump_s):
    desk.guard.anchor(HOME)
    desk.run([1.0, 0, 0, 0, 0, 0, 0], 0.5)
    desk.ahead_s += jump_s
    refused = sum(count for what, count in desk.guard.counts.items() if what.startswith("refused"))
    last = desk.run([1.0, 0, 0, 0, 0, 0, 0], 0.5)
    desk.check_limits()
    assert (
        sum(count for what, count in desk.guard.counts.items() if what.startswith("refused"))
        == refused
    )
    assert np.abs(desk.sent[-1] - last).max() < 0.01


def test_after_a_pause_of_its_own_nothing_leaps(desk):
    desk.guard.anchor(HOME)
    last = desk.run([3.0, 0, 0, 0, 0, 0, 0], 0.4)
    assert not desk.guard.paused
    desk.steady_s += 2.0
    assert desk.guard.paused
    desk.ask(last + np.array([0.5, 0, 0, 0, 0, 0, 0]))
    before = desk.sent[-1]
    assert (desk.send(0.0) == before).all() and desk.guard.at_rest and not desk.guard.following
    assert desk.guard.paused, "a target tells nothing about where the device is"
    elsewhere = before + 0.05
    desk.guard.anchor(elsewhere)
    assert not desk.guard.paused
    desk.ask(elsewhere + 0.9 * NEAR_RAD)
    after = desk.send()
    assert (np.abs(after - elsewhere) <= ARM.acceleration / RATE_HZ**2 * (1 + 1e-9)).all()


def test_a_turn_that_comes_late_moves_the_device_no_further_than_two_periods_would(desk):
    desk.guard.anchor(HOME)
    desk.run([3.0, 0, 0, 0, 0, 0, 0], 0.4)
    before = desk.sent[-1]
    assert (np.abs(desk.send(0.2) - before) <= 2 * ARM.limits.velocity / RATE_HZ + 1e-12).all()


def test_a_stop_brakes_whoever_commands_and_only_a_release_and_a_near_command_end_it(desk):
    desk.guard.anchor(HOME)
    desk.run([3.0, 0, 0, 0, 0, 0, 0], 0.4)
    desk.guard.stop("operator")
    assert desk.refused(desk.sent[-1]) == "stopped"
    assert desk.refused(desk.sent[-1], session="0123abcd") == "stopped"
    for _ in range(60):
        desk.send()
    desk.check_limits()
    assert desk.guard.at_rest and desk.guard.stopped == "operator"
    desk.guard.anchor(desk.sent[-1])  # a link that was lost and found again
    assert desk.guard.stopped == "operator"
    old_s = desk.now_s
    desk.steady_s += 0.01
    desk.guard.release()
    assert desk.refused(desk.sent[-1], age_s=desk.now_s - old_s) == "discarded"
    assert desk.refused(desk.sent[-1] + 2 * NEAR_RAD) == "far"
    desk.ask(desk.sent[-1])
    assert desk.guard.following


def test_one_session_is_followed_until_it_is_silent_and_the_device_rests(desk):
    desk.guard.anchor(HOME)
    desk.ask(HOME, session="aaaaaaaa")
    for session in ("bbbbbbbb", "", "episode 3"):
        assert desk.refused(HOME, session=session) == "session"
    for _ in range(round((STALE_S - 0.05) * RATE_HZ)):
        desk.send()
    assert desk.refused(HOME, session="bbbbbbbb") == "session"
    for _ in range(round(0.1 * RATE_HZ)):
        desk.send()
    assert desk.guard.session is None
    desk.ask(HOME, session="bbbbbbbb")
    assert desk.guard.session == "bbbbbbbb"
    assert desk.refused(HOME, session="aaaaaaaa") == "session"


def test_a_stranger_does_not_take_a_device_over_while_it_moves(desk):
    desk.guard.anchor(HOME)
    position = HOME.copy()
    for number in range(200):
        desk.steady_s += 1 / RATE_HZ
        position = position + np.array([1.0, 0, 0, 0, 0, 0, 0]) / RATE_HZ
        if number > 50:
            assert desk.refused(position - 0.05, age_s=-0.035) == "session"
        desk.ask(position, session="aaaaaaaa")
        desk.send(0.0)
    assert np.abs(np.array(desk.sent[-1]) - position).max() < 1e-3
    assert desk.guard.counts["refused: session"] == 149


def test_names_that_are_unknown_or_missing_are_told(desk):
    desk.guard.anchor(HOME)
    with pytest.raises(Refused, match="did you mean 'joint7'"):
        desk.guard.offer({**dict.fromkeys(ARM.joints, 0.0), "joint77": 0.0}, desk.now_s, desk.now_s)
    with pytest.raises(Refused, match="'joint1' is missing and 5 more"):
        desk.guard.offer({"joint2": 0.0}, desk.now_s, desk.now_s)


def test_a_pose_measured_outside_the_limits_is_held_and_then_only_moves_inwards(desk):
    outside = HOME.copy()
    lower = ARM.limits.lower
    outside[3] = lower[3] - 0.3
    desk.guard.anchor(outside)
    assert (desk.send() == outside).all()
    inside = np.clip(outside, lower, ARM.limits.upper)
    path = []
    for _ in range(400):
        desk.ask(inside)
        path.append(desk.send()[3])
    assert (np.diff([outside[3], *path]) >= 0).all()
    assert path[-1] <= lower[3] + 1e-9 and abs(path[-1] - lower[3]) < 1e-6


def test_a_device_that_reports_nonsense_anchors_nothing(desk):
    with pytest.raises(XlvlaError, match="finite"):
        desk.guard.anchor(np.full(7, np.nan))


def test_every_part_of_a_rig_has_a_guard_with_a_little_more_acceleration_than_motion():
    rig = rig_file.load("bimanual_emulated")
    for side, part in rig.parts:
        limits = rig.arm(side).limits if part == "arm" else rig.hand(side).limits(side)
        guard = part_guard(rig, side, part, limits, rate_hz=100.0)
        assert guard.joints == rig.joint_names(side, part) and guard.stale_s == rig.motion.stale_s
