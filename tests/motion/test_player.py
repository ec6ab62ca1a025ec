"""Properties of the chunk player over random chunks: what a robot must be able to rely on."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xlvla.errors import XlvlaError
from xlvla.rig import MotionConfig
from xlvla_drivers.motion.chunk import Refused, Trajectory
from xlvla_drivers.motion.player import Player

NAMES = ("a", "b", "c")
LOWER, UPPER = np.array([-1.0, -2.0, 0.0]), np.array([1.0, 2.0, 1.5])
VELOCITY, ACCELERATION = np.array([2.0, 3.0, 1.0]), np.array([20.0, 10.0, 15.0])
HZ = 20.0
START = 1_700_000_000.0


def player(**config) -> Player:
    return Player(NAMES, LOWER, UPPER, VELOCITY, ACCELERATION, MotionConfig(**config))


def wander(rng: np.random.Generator, frames: int = 64, scale: float = 0.2) -> np.ndarray:
    return np.clip(rng.uniform(LOWER, UPPER) + np.cumsum(rng.normal(0, scale, (frames, 3)), axis=0), LOWER - 0.2, UPPER + 0.2)


def play(
    who: Player, offers: dict[int, tuple[np.ndarray, float]], ticks: int, measured: np.ndarray, dts=None
) -> tuple[np.ndarray, np.ndarray]:
    """Commands [ticks, 3] and their times; offers are (points, age of the stamp in seconds) by tick."""
    dts = np.full(ticks, 0.01) if dts is None else dts
    times = START + np.concatenate([[0], np.cumsum(dts[1:])])
    out = []
    for tick, now in enumerate(times):
        if tick in offers:
            points, age_s = offers[tick]
            who.offer(points, NAMES, now - age_s, HZ, now)
        out.append(who.command(now, measured))
    return np.array(out), times


@pytest.mark.parametrize("seed", range(8))
def test_random_chunks_never_exceed_a_limit(seed):
    rng = np.random.default_rng(seed)
    dts = rng.uniform(0.002, 0.03, 600)
    offers = {int(tick): (wander(rng), rng.uniform(0, 0.45)) for tick in range(0, 600, 50)}
    measured = rng.uniform(LOWER, UPPER)
    commands, times = play(player(), offers, 600, measured, dts)
    dt = np.diff(times)[:, None]
    speed = np.diff(np.vstack([measured, commands]), axis=0)[1:] / dt
    change = np.diff(np.vstack([np.zeros(3), speed]), axis=0)
    assert (np.abs(speed) <= VELOCITY * (1 + 1e-6)).all()
    assert (np.abs(change) <= ACCELERATION * dt + 1e-5).all()
    assert (commands >= LOWER).all() and (commands <= UPPER).all()


def test_a_gentle_chunk_is_followed_exactly_once_the_offset_has_faded():
    frames = np.arange(64)[:, None]
    points = 0.5 + 0.3 * np.sin(frames / 12 + np.array([0, 1, 2]))
    who = player(blend_s=0.3)
    commands, times = play(who, {0: (points, 0.0)}, 300, points[0] + 0.02)
    chunk = Trajectory(points, START + 1 / HZ, HZ)
    wanted = np.array([chunk.at(t)[0] for t in times])
    late = times > START + 0.5
    assert np.abs(commands - wanted)[late].max() < 2e-3


def test_frames_are_reached_at_their_stamps():
    chunk = Trajectory(np.array([[0.0], [1.0], [4.0], [2.0]]), start_s=10.0, rate_hz=20.0)
    assert [chunk.at(10.0 + k / 20)[0][0] for k in range(4)] == pytest.approx([0, 1, 4, 2], abs=1e-9)


def test_the_interpolated_velocity_is_the_derivative_of_the_position():
    chunk = Trajectory(np.random.default_rng(0).normal(size=(10, 3)), 0.0, HZ)
    for t in np.linspace(0.01, 0.43, 37):
        slope = (chunk.at(t + 1e-6)[0] - chunk.at(t - 1e-6)[0]) / 2e-6
        assert chunk.at(t)[1] == pytest.approx(slope, abs=1e-3)


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
    commands, times = play(who, {0: (ramp, 0.0), 80: (ramp + 0.1 + rng.normal(0, 1e-3, 3), 0.4)}, 160, ramp[0])
    assert who.counts["late"] == 1
    assert np.abs(np.diff(commands, n=2, axis=0)).max() <= ACCELERATION.max() * 1e-4 + 1e-9
    assert np.abs(np.diff(commands[78:84], axis=0)).max() < 0.01
    assert commands[159] == pytest.approx(Trajectory(ramp + 0.1, START + 0.8 - 0.4 + 0.05, HZ).at(times[159])[0], abs=5e-3)


def test_a_chunk_that_runs_out_ends_in_a_hold():
    who = player()
    commands, times = play(who, {0: (np.linspace([0, 0, 0], [0.5, 0.5, 0.5], 20), 0.0)}, 400, np.zeros(3))
    assert (commands[-100:] == commands[-1]).all()
    assert commands[-1] == pytest.approx([0.5, 0.5, 0.5], abs=1e-6)
    assert who.counts["held"] > 100
    assert who.has_chunk(times[50]) and not who.has_chunk(times[-1])


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
    who.offer(points, ("c", "a", "b"), START, HZ, START)
    commands = [who.command(START + k * 0.01, np.zeros(3)) for k in range(300)]
    assert commands[-1] == pytest.approx([0.2, 0.3, 0.1])


OK = np.zeros((64, 3))


@pytest.mark.parametrize(
    ("reason", "change", "says"),
    [
        ("not finite", {"points": np.where(np.arange(192).reshape(64, 3) == 100, np.nan, OK)}, "frame 33 of joint 'b' is nan"),
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
    ],
)
def test_a_bad_chunk_is_refused_with_its_reason(reason, change, says):
    who = player()
    chunk = {"points": OK, "names": NAMES, "stamp_s": START, "rate_hz": HZ, "now_s": START} | change
    with pytest.raises(Refused, match=says) as refusal:
        who.offer(**chunk)
    assert refusal.value.reason == reason
    assert who.counts[f"refused: {reason}"] == 1
    assert who.command(START, np.array([0.1, 0.2, 0.3])) == pytest.approx([0.1, 0.2, 0.3])


def test_a_refused_chunk_leaves_the_playing_one_alone():
    points = np.linspace([0, 0, 0], [0.5, 0.5, 0.5], 64)
    one, two = player(), player()
    undisturbed, times = play(one, {0: (points, 0.0)}, 100, np.zeros(3))
    two.offer(points, NAMES, START, HZ, START)
    for now, expected in zip(times, undisturbed, strict=True):
        with pytest.raises(Refused):
            two.offer(points * np.nan, NAMES, now, HZ, now)
        assert two.command(now, np.zeros(3)) == pytest.approx(expected)


def test_an_older_chunk_does_not_replace_a_newer_one():
    who = player()
    who.offer(OK, NAMES, START, HZ, START)
    with pytest.raises(Refused, match="before that of the chunk being played"):
        who.offer(OK, NAMES, START - 0.1, HZ, START)


def test_points_outside_the_limits_are_clamped_and_counted():
    who = player()
    who.offer(OK + np.array([0, 5, 0]), NAMES, START, HZ, START)
    commands = [who.command(START + k * 0.01, np.zeros(3)) for k in range(300)]
    assert who.counts["clipped"] == 1
    assert commands[-1] == pytest.approx([0, 2, 0])


def test_the_speed_scale_slows_every_joint():
    far = np.tile(UPPER, (64, 1))
    quick, _ = play(player(), {0: (far, 0.0)}, 300, LOWER)
    slow, times = play(player(speed_scale=0.25), {0: (far, 0.0)}, 300, LOWER)
    assert (np.abs(np.diff(slow, axis=0)) <= 0.25 * VELOCITY * np.diff(times)[:, None] + 1e-6).all()
    assert (np.abs(np.diff(quick, axis=0)).max(axis=0) > 0.5 * VELOCITY * 0.01).all()


def test_a_clock_that_goes_back_is_refused_until_release():
    who = player()
    who.command(START, np.zeros(3))
    with pytest.raises(XlvlaError, match="clock went back"):
        who.command(START - 5, np.zeros(3))
    who.release()
    assert who.command(START - 5, np.zeros(3)) == pytest.approx(np.zeros(3))


def test_a_long_pause_does_not_become_a_leap():
    who = player()
    who.offer(np.tile(UPPER, (64, 1)), NAMES, START, HZ, START)
    before = who.command(START, LOWER)
    after = who.command(START + 1.0, LOWER)
    assert (np.abs(after - before) <= VELOCITY * 0.05).all()


def test_a_measured_pose_that_is_not_finite_is_refused():
    with pytest.raises(XlvlaError, match="finite"):
        player().command(START, np.array([0, np.nan, 0]))
