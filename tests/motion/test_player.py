"""Properties of the chunk player over random chunks: what a robot must be able to rely on."""

from __future__ import annotations

import math
from contextlib import suppress

import numpy as np
import pytest

from rows import rows
from xlvla.errors import XlvlaError
from xlvla.motion import MotionConfig
from xlvla_drivers.motion.chunk import Refused, Trajectory
from xlvla_drivers.motion.home import SLOW, way_home
from xlvla_drivers.motion.player import Player
from xlvla_drivers.motion.speed_scaling import SpeedScaling

NAMES = ("a", "b", "c")
LOWER = np.array([-1.0, -2.0, 0.0])
UPPER = np.array([1.0, 2.0, 1.5])
VELOCITY = np.array([2.0, 3.0, 1.0])
ACCELERATION = np.array([20.0, 10.0, 15.0])
JERK = ACCELERATION / MotionConfig().jerk_s
HZ = 20.0
START = 1_700_000_000.0


def player(*, arm: int | None = 0, **config) -> Player:
    """A player whose joints, unless said otherwise, are a hand's: they may be told to go far."""
    return Player(NAMES, LOWER, UPPER, VELOCITY, ACCELERATION, MotionConfig(**config), arm)


def wander(rng: np.random.Generator, frames: int = 64, scale: float = 0.2) -> np.ndarray:
    return np.clip(
        rng.uniform(LOWER, UPPER) + np.cumsum(rng.normal(0, scale, (frames, 3)), axis=0),
        LOWER - 0.09,
        UPPER + 0.09,
    )


def play(
    who: Player,
    offers: dict[int, tuple[np.ndarray, float]],
    ticks: int,
    measured: np.ndarray,
    dts=None,
) -> tuple[np.ndarray, np.ndarray]:
    """Commands [ticks, 3] and their times; offers are (points, age of the stamp in seconds) by
    tick.
    """
    dts = np.full(ticks, 0.01) if dts is None else dts
    times = START + np.concatenate([[0], np.cumsum(dts[1:])])
    out = []
    for tick, now in enumerate(times):
        if tick in offers:
            points, age_s = offers[tick]
            who.offer(points, NAMES, now - age_s, HZ, now, measured=measured)
        out.append(who.command(now, measured))
    return np.array(out), times


def derivative(commands: np.ndarray, times: np.ndarray, order: int) -> np.ndarray:
    """Divided differences: a curve whose derivative keeps a limit keeps it here, at whatever times
    it is looked at.
    """
    for k in range(1, order + 1):
        commands = k * np.diff(commands, axis=0) / (times[k:] - times[:-k])[:, None]
    return commands


def storm(
    who: Player, rng: np.random.Generator, scale: float, dts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Commands [T, 3] and their times while random chunks come fresh, late, too late, twice, out of
    order, and none come.
    """
    times = 100.0 + np.cumsum(dts)
    out = []
    before = None
    for now in times:
        if rng.random() < 0.01:
            before = (wander(rng, scale=scale), NAMES, now - rng.uniform(0, 0.6), HZ)
        if rng.random() < 0.015 and before is not None:
            with suppress(Refused):
                who.offer(*before, now, measured=(LOWER + UPPER) / 2)
        if rng.random() < 0.002:
            who.hold()
        out.append(who.command(now, (LOWER + UPPER) / 2))
    return np.array(out), times


@pytest.mark.parametrize(("seed", "scale"), rows(range(3), (0.3, 0.05, 0.01, 0.002)))
def test_whatever_chunks_come_no_limit_is_ever_exceeded(seed, scale):
    rng = np.random.default_rng(seed)
    dts = np.full(1500, 0.005) if seed == 0 else rng.uniform(0.002, 0.015, 1500)
    who = player(blend_s=[1.0, 0.3, 0.1][seed])
    commands, times = storm(who, rng, scale, dts)
    slack = 1 + 1e-6
    assert who.counts["accepted"] > 2
    assert (commands >= LOWER - 1e-12).all() and (commands <= UPPER + 1e-12).all()
    assert (np.abs(derivative(commands, times, 1)) <= VELOCITY * slack).all()
    assert (np.abs(derivative(commands, times, 2)) <= ACCELERATION * slack).all()
    assert (np.abs(derivative(commands, times, 3)) <= JERK * slack).all()


def test_a_pace_that_stops_and_goes_keeps_the_limits_as_well():
    rng = np.random.default_rng(5)
    who = player()
    pace = SpeedScaling()
    times = 100.0 + 0.005 * np.arange(1500)
    out = []
    for tick, now in enumerate(times):
        if tick % 100 == 0:
            who.offer(wander(rng, scale=0.02), NAMES, now, HZ, now, measured=(LOWER + UPPER) / 2)
        beat = pace.step(float(rng.random() < 0.5) if tick % 40 == 0 else pace.wanted, 0.005)
        out.append(who.command(now, (LOWER + UPPER) / 2, beat))
    assert (np.abs(derivative(np.array(out), times, 2)) <= ACCELERATION * (1 + 1e-6)).all()
    assert (np.abs(derivative(np.array(out), times, 3)) <= JERK * (1 + 1e-6)).all()


def test_a_gentle_chunk_is_followed_exactly_once_the_offset_has_faded():
    frames = np.arange(64)[:, None]
    points = 0.5 + 0.3 * np.sin(frames / 12 + np.array([0, 1, 2]))
    who = player(blend_s=0.3)
    commands, times = play(who, {0: (points, 0.0)}, 150, points[0] + 0.02)
    chunk = Trajectory(points, HZ)
    wanted = np.array([chunk.at(t - START - 1 / HZ).position for t in times])
    late = times > START + 0.5
    assert (
        np.abs(commands - wanted)[late].max() < 1e-5
    )  # the clock of these tests counts in 0.2 microseconds
    assert who.counts["limited"] == 0


def test_the_curve_passes_near_its_frames_and_stays_in_their_range():
    points = np.random.default_rng(0).normal(size=(30, 3))
    chunk = Trajectory(points, HZ, taper_s=0.4)
    seen = np.array([chunk.at(t).position for t in np.linspace(0, chunk.end_s + 0.1, 500)])
    assert (seen >= points.min(axis=0)).all() and (seen <= points.max(axis=0)).all()
    ramp = Trajectory(np.linspace([0.0], [3.0], 31), HZ)
    assert [ramp.at(k / HZ).position[0] for k in range(28)] == pytest.approx(np.arange(28) / 10)


def test_velocity_and_acceleration_are_the_derivatives_of_the_position():
    chunk = Trajectory(np.random.default_rng(0).normal(size=(10, 3)), HZ, taper_s=0.2)
    h = 1e-5
    for t in np.linspace(-0.05, chunk.end_s + 0.05, 200):
        before, here, after = (chunk.at(t + step) for step in (-h, 0, h))
        assert here.velocity == pytest.approx(
            (after.position - before.position) / (2 * h), abs=1e-4
        )
        assert here.acceleration == pytest.approx(
            (after.velocity - before.velocity) / (2 * h), abs=1e-2
        )


def test_a_horizon_tapers_to_rest_on_its_path():
    chunk = Trajectory(np.linspace([0.0], [3.0], 31), HZ, taper_s=0.4)
    states = [chunk.at(t) for t in np.arange(0, chunk.end_s + 0.05, 0.005)]
    speed, pull = (
        np.array([getattr(state, name)[0] for state in states])
        for name in ("velocity", "acceleration")
    )
    assert (np.diff(speed[speed < 1.99]) <= 1e-9).all() and speed[-1] == 0
    assert np.abs(pull).max() < 15.0
    assert states[-1].position == pytest.approx([3.0])


def test_engaging_far_from_the_chunk_does_not_jump():
    measured = np.array([-0.9, 1.8, 0.1])
    commands, _ = play(player(), {0: (np.tile([0.9, -1.8, 1.4], (64, 1)), 0.0)}, 100, measured)
    assert commands[0] == pytest.approx(measured)
    assert np.abs(np.diff(commands, axis=0)).max() <= VELOCITY.max() * 0.01 + 1e-5


def test_a_pose_measured_slightly_outside_its_limits_is_left_without_a_jump():
    measured = UPPER + 0.03
    commands, _ = play(player(), {5: (np.tile(UPPER, (64, 1)), 0.0)}, 200, measured)
    assert commands[0] == pytest.approx(measured)
    steps = np.diff(commands, axis=0)
    assert (steps <= 1e-9).all() and np.abs(steps).max() <= VELOCITY.max() * 0.01
    assert commands[-1] == pytest.approx(UPPER, abs=1e-6)


def test_a_late_chunk_loses_its_past_and_joins_without_a_step():
    rng = np.random.default_rng(3)
    ramp = np.linspace(0, 1, 64)[:, None] * np.array([0.5, 0.5, 0.5])
    who = player()
    commands, times = play(
        who, {0: (ramp, 0.0), 80: (ramp + 0.1 + rng.normal(0, 1e-3, 3), 0.4)}, 190, ramp[0]
    )
    assert who.counts["late"] == 1
    assert np.abs(np.diff(commands, n=2, axis=0)).max() <= ACCELERATION.max() * 1e-4 + 1e-9
    assert np.abs(np.diff(commands[78:84], axis=0)).max() < 0.01
    assert commands[-1] == pytest.approx(
        Trajectory(ramp + 0.1, HZ).at(times[-1] - (START + 0.8 - 0.4 + 0.05)).position, abs=5e-3
    )


def test_a_chunk_that_runs_out_ends_in_a_hold():
    who = player()
    who.offer(
        np.linspace([0, 0, 0], [0.5, 0.5, 0.5], 20), NAMES, START, HZ, START, measured=np.zeros(3)
    )
    assert who.has_chunk(START + 1.0)
    commands, times = play(who, {}, 400, np.zeros(3))
    assert (commands[-100:] == commands[-1]).all()
    assert commands[-1] == pytest.approx([0.5, 0.5, 0.5], abs=1e-6)
    assert who.counts["held"] > 100
    assert not who.has_chunk(times[-1])


def test_a_hold_decelerates_and_keeps_the_last_command():
    who = player()
    moving, _ = play(who, {0: (np.linspace([0, 0, 0], [1, 2, 1.5], 30), 0.0)}, 60, np.zeros(3))
    who.hold()
    now = START + 0.6
    stopped = np.array([who.command(now + k * 0.01, np.zeros(3)) for k in range(100)])
    path = np.vstack([moving[-2:], stopped])
    assert np.abs(np.diff(path, n=2, axis=0)).max() <= ACCELERATION.max() * 1e-4 + 1e-9
    assert (stopped[-50:] == stopped[-1]).all() and not (stopped[-1] == stopped[0]).all()


def test_without_a_chunk_the_measured_pose_is_held():
    commands, _ = play(player(), {}, 20, np.array([0.3, 0.2, 0.1]))
    assert commands == pytest.approx(np.tile([0.3, 0.2, 0.1], (20, 1)))


def test_a_released_player_starts_again_from_the_measured_pose():
    who = player()
    play(who, {0: (np.linspace([0, 0, 0], [1, 2, 1.5], 64), 0.0)}, 100, np.zeros(3))
    who.release()
    assert who.command(START + 1.0, np.array([0.5, 0.5, 0.5])) == pytest.approx([0.5, 0.5, 0.5])
    assert who.command(START + 1.01, np.zeros(3)) == pytest.approx([0.5, 0.5, 0.5])


def test_columns_are_taken_by_name_not_by_place():
    points = np.tile([0.1, 0.2, 0.3], (64, 1))
    who = player()
    who.offer(points, ("c", "a", "b"), START, HZ, START, measured=np.zeros(3))
    commands = [who.command(START + k * 0.01, np.zeros(3)) for k in range(300)]
    assert commands[-1] == pytest.approx([0.2, 0.3, 0.1])


OK = np.zeros((64, 3))


@pytest.mark.parametrize(
    ("reason", "change", "says"),
    [
        (
            "not finite",
            {"points": np.where(np.arange(192).reshape(64, 3) == 100, np.nan, OK)},
            "frame 33 of joint 'b' is nan",
        ),
        ("not finite", {"points": OK + np.inf}, "inf"),
        ("names", {"names": ("a", "b", "d")}, "unknown joint 'd'"),
        ("names", {"names": ("a", "b"), "points": OK[:, :2]}, "joint 'c' is missing"),
        ("names", {"names": ("a", "b", "c", "c"), "points": np.zeros((64, 4))}, "named twice"),
        ("size", {"points": np.zeros((64, 2))}, "expected points"),
        ("size", {"points": np.zeros((0, 3))}, "expected points"),
        ("size", {"points": np.zeros(3)}, "expected points"),
        ("stale", {"stamp_s": START - 0.6}, "0.600 s old"),
        ("future", {"stamp_s": START + 0.2}, "in the future"),
        ("over", {"stamp_s": START - 0.4, "points": OK[:4]}, "past"),
        ("times", {"stamp_s": math.nan}, "finite"),
        ("times", {"rate_hz": 0.0}, "rate"),
        ("times", {"rate_hz": math.inf}, "rate"),
        ("pose", {"measured": None}, "not known where the robot is"),
        (
            "speed",
            {"points": OK + 2.6 * (np.arange(64) == 30)[:, None]},
            "frame 30 asks joint 'c' for 52 rad/s, at most 25",
        ),
        (
            "limits",
            {"points": OK + np.array([0, 2.2, 0])},
            "frame 0 of joint 'b' is 0.2 rad outside its limits",
        ),
        ("limits", {"points": OK + np.array([0, 0, 1e300])}, "joint 'c' is 1e\\+300 rad outside"),
    ],
)
def test_a_bad_chunk_is_refused_with_its_reason(reason, change, says):
    who = player()
    chunk = {
        "points": OK,
        "names": NAMES,
        "stamp_s": START,
        "rate_hz": HZ,
        "now_s": START,
        "measured": np.zeros(3),
    } | change
    with pytest.raises(Refused, match=says) as refusal:
        who.offer(**chunk)
    assert refusal.value.reason == reason
    assert who.counts[f"refused: {reason}"] == 1
    assert who.command(START, np.array([0.1, 0.2, 0.3])) == pytest.approx([0.1, 0.2, 0.3])


def test_a_refused_chunk_leaves_the_playing_one_alone():
    points = np.linspace([0, 0, 0], [0.5, 0.5, 0.5], 64)
    one = player()
    two = player()
    undisturbed, times = play(one, {0: (points, 0.0)}, 100, np.zeros(3))
    two.offer(points, NAMES, START, HZ, START, measured=np.zeros(3))
    for now, expected in zip(times, undisturbed, strict=True):
        with pytest.raises(Refused):
            two.offer(points * np.nan, NAMES, now, HZ, now)
        assert two.command(now, np.zeros(3)) == pytest.approx(expected)


def test_an_older_chunk_does_not_replace_a_newer_one():
    who = player()
    who.offer(OK, NAMES, START, HZ, START, measured=np.zeros(3))
    for again_s in (0.0, 0.1):
        with pytest.raises(Refused, match="before that of the chunk being played"):
            who.offer(OK, NAMES, START - again_s, HZ, START, measured=np.zeros(3))


def test_points_slightly_outside_the_limits_are_clamped_and_counted():
    who = player()
    who.offer(OK + np.array([0, 2.05, 0]), NAMES, START, HZ, START, measured=np.zeros(3))
    commands = [who.command(START + k * 0.01, np.zeros(3)) for k in range(300)]
    assert who.counts["clipped"] == 1
    assert commands[-1] == pytest.approx([0, 2, 0])


def test_the_speed_scale_slows_every_joint():
    far = np.tile(UPPER, (64, 1))
    quick, times = play(player(blend_s=0.2), {0: (far, 0.0)}, 300, LOWER)
    slow, _ = play(player(blend_s=0.2, speed_scale=0.25), {0: (far, 0.0)}, 300, LOWER)
    assert (np.abs(np.diff(slow, axis=0)) <= 0.25 * VELOCITY * np.diff(times)[:, None] + 1e-6).all()
    assert (np.abs(np.diff(quick, axis=0)).max(axis=0) > 0.5 * VELOCITY * 0.01).all()


def test_a_clock_that_was_set_back_is_followed_once_the_old_times_are_forgotten():
    who = player()
    moving, _ = play(who, {0: (np.linspace([0, 0, 0], [1, 1, 1], 30), 0.0)}, 60, np.zeros(3))
    who.forget_times()
    back = START - 3600
    assert not who.has_chunk(back)
    who.offer(OK + moving[-1], NAMES, back, HZ, back)
    assert who.has_chunk(back)


def test_a_long_pause_does_not_become_a_leap():
    who = player()
    who.offer(np.tile(UPPER, (64, 1)), NAMES, START, HZ, START, measured=LOWER)
    before = who.command(START, LOWER)
    after = who.command(START + 1.0, LOWER)
    assert (np.abs(after - before) <= VELOCITY * 0.05).all()


def test_a_measured_pose_that_is_not_finite_is_refused():
    with pytest.raises(XlvlaError, match="finite"):
        player().command(START, np.array([0, np.nan, 0]))


def test_an_arm_is_not_told_to_begin_far_away_but_a_hand_may_be():
    who = player(arm=2, teleport_rad=0.5)
    far = np.tile([0.6, 0.0, 1.4], (64, 1))
    with pytest.raises(Refused, match="joint 'a' is 0\\.6 rad") as refusal:
        who.offer(far, NAMES, START, HZ, START, measured=np.zeros(3))
    assert refusal.value.reason == "teleport"
    who.offer(far * [0.8, 1, 1], NAMES, START, HZ, START, measured=np.zeros(3))
    who.command(START, np.zeros(3))
    with pytest.raises(Refused, match="from where it begins"):
        who.offer(-far, NAMES, START + 0.1, HZ, START + 0.1)


def test_a_source_that_falls_silent_is_played_for_the_horizon_and_not_longer():
    who = player(horizon_s=1.0)
    commands, times = play(
        who, {0: (np.linspace([0, 0, 0], [0.63, 0.63, 0.63], 64), 0.0)}, 300, np.zeros(3)
    )
    assert commands[-1] == pytest.approx(np.full(3, 0.19), abs=1e-6)
    assert (commands[times > START + 1.8] == commands[-1]).all()


def test_a_relative_chunk_moves_an_arm_by_its_changes_and_a_hand_to_its_pose():
    who = player(arm=2, blend_s=0.2)
    start = np.array([0.5, -1.0, 0.2])
    command = start
    way = np.linspace([-0.9, 1.9, 1.0], [-0.7, 1.5, 1.0], 30)
    for tick in range(200):
        now = START + tick * 0.01
        if tick % 20 == 0 and tick < 100:
            rest = np.maximum(np.arange(30) + 2 * tick // 10 - 1, 0).clip(max=29)
            who.offer(way[rest], NAMES, now, HZ, now, measured=start, relative=True)
        command = who.command(now, start)
    assert command == pytest.approx([0.7, -1.4, 1.0], abs=5e-3)


def test_a_relative_source_that_paused_goes_on_from_where_the_robot_is():
    who = player(arm=3, blend_s=0.2)
    who.offer(OK + 0.3, NAMES, START, HZ, START, measured=np.full(3, 0.5), relative=True)
    commands = np.array([who.command(START + tick * 0.01, np.full(3, 0.5)) for tick in range(100)])
    assert commands == pytest.approx(np.full((100, 3), 0.5))
    who.hold()
    who.offer(OK + 0.9, NAMES, START + 1, HZ, START + 1, relative=True)
    commands = np.array([who.command(START + 1 + tick * 0.01, np.zeros(3)) for tick in range(100)])
    assert commands == pytest.approx(np.full((100, 3), 0.5))


def test_a_stream_of_single_points_is_followed_with_little_delay():
    who = player()

    def wave(t):
        return 0.5 + 0.4 * np.sin(2 * (t - START) + np.zeros(3))

    errors = []
    for tick in range(800):
        now = START + tick * 0.005
        if tick % 6 == 0:
            who.offer(wave(now)[None], NAMES, now, 30.0, now, measured=wave(now))
        command = who.command(now, wave(START))
        errors.append(np.abs(command - wave(now - 0.15)).max())
    assert max(errors[300:]) < 0.08


def test_the_way_home_is_slow_and_ends_there_at_rest_however_long_it_is():
    rng = np.random.default_rng(3)
    for _ in range(5):
        who = player()
        here = rng.uniform(LOWER, UPPER)
        home = rng.uniform(LOWER, UPPER)
        way = way_home(here, home, who.bounds.velocity, HZ)
        who.go(way, HZ, START)
        times = START + 0.005 * np.arange(round(len(way) / HZ / 0.005) + 200)
        commands = np.array([who.command(now, here) for now in times])
        assert np.abs(commands[0] - here).max() < 1e-3 and np.abs(commands[-1] - home).max() < 1e-6
        speed = np.abs(derivative(commands, times, 1)).max(axis=0)
        assert (speed <= 1.05 * SLOW * who.bounds.velocity).all()
        assert not who.has_chunk(times[-1])
