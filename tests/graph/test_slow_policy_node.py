"""A policy that takes long to decide: it looks on meanwhile, and what a reset made void stays
unsaid.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy")

from policy_robot import Robot, policy_alone
from std_msgs.msg import Header

import retries
from xlvla.ros import convert, topics


@pytest.fixture(scope="module")
@retries.once_more
def running_slowly(untrained_weights) -> Iterator[Robot]:
    with policy_alone(untrained_weights(80), replan_s=0.02, jpeg=90) as robot:
        yield robot


@pytest.fixture
def slow(running_slowly) -> Robot:
    running_slowly.as_new()
    return running_slowly


def test_compressed_pictures_are_read_and_what_is_none_is_refused(slow):
    slow.decides()
    slow.picture.data = b"no picture"
    slow.silent_and_says(
        "/cameras/front/image_raw/compressed: a compressed image of 10 bytes ('rgb8; jpeg "
        "compressed bgr8') cannot be read"
    )
    slow.as_new()
    slow.decides()


def test_it_looks_on_while_it_thinks(slow):
    slow.decides()
    end = time.monotonic() + 4.0
    while time.monotonic() < end:
        slow.tell()
        time.sleep(0.05)
    figures = slow.figures()
    looks_ms = 1e3 / float(figures["looks [Hz]"])
    thinks_ms = float(figures["inference p50 [ms]"])
    assert looks_ms < thinks_ms / 2, figures


def test_what_was_thought_about_before_a_reset_is_not_published(slow):
    slow.say(topics.RESET, Header(stamp=convert.stamp(1)))  # found before it matters
    time.sleep(0.5)
    slow.decides()
    for number in range(3):
        slow.until(slow.chunks, "no chunk comes")  # the next thought begins with the next image
        for _ in range(1 + number):
            slow.tell()
            time.sleep(0.05)
        began_ns = time.time_ns()
        slow.say(topics.RESET, Header(stamp=convert.stamp(began_ns)))
        time.sleep(0.05)
        slow.chunks()
        (chunk, *_) = slow.until(slow.chunks, "no chunk comes")
        assert convert.nanoseconds(chunk.header.stamp) >= began_ns
    slow.until(
        lambda: int(slow.figures().get("discarded chunks", 0)) > 0, "no reset came while it thought"
    )
