"""Messages say what the numbers were, and names are never guessed."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from sensor_msgs.msg import CompressedImage, Image, JointState
from trajectory_msgs.msg import JointTrajectory

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


def test_a_chunk_that_is_empty_ragged_or_uneven_is_refused():
    good = convert.trajectory(["a"], np.zeros((4, 1)), 0, 20.0)
    with pytest.raises(XlvlaError, match="no points"):
        convert.points(JointTrajectory(joint_names=["a"]))
    ragged = convert.trajectory(["a", "b"], np.zeros((4, 1)), 0, 20.0)
    with pytest.raises(XlvlaError, match="2 positions"):
        convert.points(ragged)
    good.points[2].time_from_start.nanosec += 20_000_000
    with pytest.raises(XlvlaError, match="evenly spaced"):
        convert.points(good)


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
