"""Messages say what the numbers were, and names are never guessed."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Duration
from sensor_msgs.msg import CompressedImage, Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from xlvla.errors import XlvlaError
from xlvla.ros import convert


def test_a_picture_survives_the_message():
    rgb = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    message = convert.image(rgb, 5_000_000_007, "front")
    assert (convert.picture(message) == rgb).all()
    assert convert.nanoseconds(message.header.stamp) == 5_000_000_007


def test_a_picture_with_padded_rows_and_swapped_channels_is_read():
    rgb = np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3)
    rows = np.concatenate([rgb[..., ::-1].reshape(2, 6), np.full((2, 2), 99, np.uint8)], axis=1)
    message = Image(height=2, width=2, step=8, encoding="bgr8", data=rows.tobytes())
    assert (convert.picture(message) == rgb).all()


def test_a_picture_of_another_encoding_is_refused():
    with pytest.raises(XlvlaError, match="mono8"):
        convert.picture(Image(height=1, width=1, step=1, encoding="mono8", data=b"0"))


def test_an_image_of_fewer_bytes_than_it_says_is_refused():
    with pytest.raises(XlvlaError, match="2x2 with rows of 6 bytes cannot have 7 bytes"):
        convert.picture(Image(height=2, width=2, step=6, encoding="rgb8", data=bytes(7)))


def test_a_compressed_picture_is_nearly_the_same_in_a_fraction_of_the_bytes():
    rgb = np.repeat(
        np.repeat(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8), 40, 0),
        40,
        1,
    )
    message = convert.jpeg(rgb, 90, 5_000_000_007, "front")
    assert (
        np.abs(convert.picture(message).astype(int) - rgb).mean() < 6
        and len(message.data) < rgb.size / 8
    )
    assert convert.nanoseconds(message.header.stamp) == 5_000_000_007


@pytest.mark.parametrize("data", [b"", b"no picture"])
def test_a_compressed_picture_that_is_none_is_refused(data):
    with pytest.raises(XlvlaError, match="cannot be read"):
        convert.picture(CompressedImage(format="jpeg", data=data))


def test_joint_positions_come_in_the_order_that_is_asked_for():
    message = convert.JointMessage(["b", "a"]).fill(1, np.array([2.0, 1.0]))
    assert convert.positions(message, ["a", "b"]).tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("names", "values", "says"),
    [
        (["a", "c"], [1.0, 2.0], "unknown joint 'c'"),
        (["a"], [1.0], "'b' is missing"),
        (["a", "b", "b"], [1.0, 2.0, 3.0], "named twice"),
        (["a", "b"], [1.0], "2 joints are named but 1"),
        (["a", "b"], [1.0, float("nan")], "'b' is not a finite number"),
        (["b", "a"], [float("inf"), 1.0], "'b' is not a finite number"),
    ],
)
def test_joint_positions_that_do_not_fit_are_refused(names, values, says):
    with pytest.raises(XlvlaError, match=says):
        convert.positions(JointState(name=names, position=values), ["a", "b"])


def test_a_chunk_survives_the_message():
    points = np.random.default_rng(1).normal(size=(64, 19))
    message = convert.trajectory([f"j{i}" for i in range(19)], points, 3_000_000_000, 20.0)
    back, rate_hz = convert.points(message)
    assert (back == points).all()
    assert rate_hz == pytest.approx(20.0)
    assert convert.nanoseconds(message.points[0].time_from_start) == 50_000_000


def plan(times_s, positions, velocities=()) -> JointTrajectory:
    """A trajectory of joint a as planners write it: no stamp, any times."""
    message = JointTrajectory(joint_names=["a"])
    for k, (time_s, position) in enumerate(zip(times_s, positions, strict=True)):
        point = JointTrajectoryPoint(positions=[position], velocities=list(velocities[k : k + 1]))
        ns = round(1e9 * time_s)
        point.time_from_start = Duration(sec=ns // 10**9, nanosec=ns % 10**9)
        message.points.append(point)
    return message


def test_a_plan_from_time_0_with_velocities_is_sampled_along_its_cubics():
    """Points of a parabola and its slopes give the parabola back between the points, too."""
    times = np.array([0.0, 0.1, 0.25, 0.73])
    frames, rate_hz = convert.points(plan(times, 2 * times**2 - times, 4 * times - 1))
    at = np.minimum(np.arange(1, len(frames) + 1) / rate_hz, times[-1])
    assert at[-2] < times[-1] <= len(frames) / rate_hz
    np.testing.assert_allclose(frames[:, 0], 2 * at**2 - at, atol=1e-12)


def test_a_plan_without_velocities_is_straight_from_point_to_point():
    frames, rate_hz = convert.points(plan([0.0, 0.2, 0.8], [0.0, 1.0, 0.4]))
    assert rate_hz * 0.2 == 10
    assert frames[[4, 9, 24, 39], 0] == pytest.approx([0.5, 1.0, 0.7, 0.4])


def test_a_plan_that_begins_late_waits_at_its_first_point():
    frames, _ = convert.points(plan([0.3, 0.4, 0.6], [0.5, 0.6, 0.7]))
    assert frames[:15, 0] == pytest.approx(0.5)
    assert frames[19, 0] == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (plan([0.0, 0.2, 0.2], [0, 0, 0]), "point 2 is due 0.200 s after the stamp"),
        (plan([-0.1, 0.2, 0.3], [0, 0, 0]), "point 0 is due -0.100 s after the stamp"),
        (plan([0.0, 0.2, 0.3], [0, 0, 0], [0.0]), "every point has 1 velocities or none"),
        (plan([0, 0.2], [0, 0], [0.0, np.inf]), "velocity of 'a' at point 1 is inf"),
        (plan([0.0, 2.5], [0, 0]), "takes 2.5 s and is refused: motion.horizon_s of the rig"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_in_one_line(message, says):
    with pytest.raises(XlvlaError, match=re.escape(says)):
        convert.points(message, longest_s=2.0)


def test_a_plan_without_a_stamp_begins_now_and_a_chunk_must_have_one():
    chunk = convert.trajectory(["a"], np.zeros((4, 1)), 0, 20.0)
    assert convert.began_ns(plan([0, 0.1], [0, 0]), now_ns=7) == 7
    assert convert.began_ns(chunk, now_ns=7) == 0


def test_a_chunk_that_is_empty_or_ragged_is_refused():
    with pytest.raises(XlvlaError, match="no points"):
        convert.points(JointTrajectory(joint_names=["a"]))
    ragged = convert.trajectory(["a", "b"], np.zeros((4, 1)), 0, 20.0)
    with pytest.raises(XlvlaError, match="2 positions"):
        convert.points(ragged)


def test_a_chunk_of_positions_where_no_joint_is_is_refused():
    message = convert.trajectory(["a", "b"], np.array([[0.0, 0.1], [0.0, -1e17]]), 0, 20.0)
    with pytest.raises(XlvlaError, match="frame 1 of 'b' is -1e\\+17 rad: no joint is there"):
        convert.points(message)


def test_latents_name_their_dimensions():
    chunk = np.arange(2 * 64 * 32, dtype=np.float32).reshape(2, 64, 32)
    message = convert.latents({"left": chunk[0], "right": chunk[1]})
    shape = [dimension.size for dimension in message.layout.dim]
    assert [dimension.label for dimension in message.layout.dim] == [
        "side: left,right",
        "frame",
        "latent",
    ]
    assert (np.array(message.data, np.float32).reshape(shape) == chunk).all()


def test_stamps_keep_every_nanosecond():
    for ns in (0, 1, 999_999_999, 1_700_000_000_123_456_789):
        assert convert.nanoseconds(convert.stamp(ns)) == ns
