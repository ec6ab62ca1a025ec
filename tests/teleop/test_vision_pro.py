"""Apple Vision Pro: bytes as its app writes them, and the source against the emulated headset."""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest
from streams import assert_seen, steady, until, until_lost

from xlvla import rig_file
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla_drivers.device import LinkLost
from xlvla_drivers.emulators.vision_pro import Emulator, joints
from xlvla_drivers.teleop import vision_pro_frames as wire
from xlvla_drivers.teleop.closing import closed
from xlvla_drivers.teleop.fingers import fingers
from xlvla_drivers.teleop.follower import Follower
from xlvla_drivers.teleop.vision_pro import Driver, Options

BOTH = ("left", "right")


def test_the_discovery_message_is_the_published_one():
    expected = (
        "1A 1E 0D 00 00 5E 44 15 00 00 40 43 1D 00 00 28 43 25 00 00 80 3F 2D 00 00 A0 41 6D 00 50 "
        "C3 46"
    )
    assert wire.request("192.168.1.20") == bytes.fromhex(expected)


def test_an_update_is_the_published_one():
    wrist = np.eye(4)
    wrist[0, 3] = 0.25
    message = wire.update_bytes(wire.Update(right=wire.TrackedHand(wrist, np.zeros((0, 4, 4)))))
    assert message == bytes.fromhex(
        "12 1C 0A 1A 0D 00 00 80 3F 25 00 00 80 3E 35 00 00 80 3F 5D 00 00 80 3F 85 01 00 00 80 3F"
    )


@pytest.mark.parametrize(("fill", "size"), [(np.ones((4, 4)), 4743), (np.eye(4), 1323)])
def test_a_whole_update_has_the_published_size(fill, size):
    hand = wire.TrackedHand(fill, np.tile(fill, (27, 1, 1)))
    assert len(wire.update_bytes(wire.Update(hand, hand, fill))) == size


def test_whatever_is_written_is_read_back():
    rng = np.random.default_rng(0)
    for _ in range(50):
        matrices = rng.normal(size=(28, 4, 4)).astype("<f4") * (rng.random((28, 4, 4)) < 0.7)
        matrices[:, 0, 0] = 1.0
        rigid = matrices.copy()
        rigid[:, 3] = 0.0, 0.0, 0.0, 1.0
        update = wire.Update(
            wire.TrackedHand(matrices[0], matrices[1:]),
            wire.TrackedHand(rigid[0], rigid[1:26]),
            rigid[5],
        )
        read = wire.update(wire.update_bytes(update))
        for side in BOTH:
            np.testing.assert_array_equal(getattr(read, side).wrist, getattr(update, side).wrist)
            np.testing.assert_array_equal(getattr(read, side).joints, getattr(update, side).joints)
        np.testing.assert_array_equal(read.head, update.head)


def test_markers_after_the_joints_are_no_joints():
    marker = np.zeros((4, 4))
    marker[0, 0], marker[0, 1] = 666.0, 1.0
    sent = np.concatenate([np.tile(np.eye(4), (27, 1, 1)), [marker], [np.eye(4)]])
    read = wire.update(wire.update_bytes(wire.Update(left=wire.TrackedHand(np.eye(4), sent))))
    assert read.left is not None and len(read.left.joints) == 27


def test_no_torn_message_is_read_as_another():
    hand = wire.TrackedHand(np.eye(4), np.tile(np.eye(4), (27, 1, 1)))
    whole = wire.update_bytes(wire.Update(hand, hand, np.eye(4)))
    parts = {0, len(whole) - 30}
    for size in range(1, len(whole)):
        try:
            read = wire.update(whole[:size])
        except XlvlaError:
            continue
        parts.add(size)
        assert (read.left is None or np.isfinite(read.left.wrist).all()) and (
            read.right is None or len(read.right.joints) <= 27
        )
    assert len(parts) < 6, "only whole fields make a message"


@pytest.fixture
def headset():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    emulator = Emulator(address, "right", Options())
    emulator.start()
    source = Driver(address, BOTH, Options(), None)
    yield emulator, source
    source.close()
    emulator.stop()


def test_hands_come_as_the_person_moves_them(headset):
    emulator, source = headset
    emulator.moves = steady(emulator.moves, at_s=1.7)
    source.open()
    assert_seen(until(lambda: source.read(0.5), both=True), at_s=1.7)


def test_a_hand_out_of_sight_is_not_seen(headset):
    emulator, source = headset
    source.open()
    until(lambda: source.read(0.5), both=True)
    emulator.inject("hide_left")
    until(lambda: (sample := source.read(0.5)) is not None and set(sample.sides) == {"right"})


def test_a_frozen_picture_is_no_hand(headset):
    emulator, source = headset
    source.open()
    until(lambda: source.read(0.5), both=True)
    emulator.inject("freeze")
    until(lambda: source.read(0.1) is None)
    emulator.inject("freeze", False)
    until(lambda: source.read(0.5), both=True)


@pytest.mark.parametrize(
    ("fault", "why"),
    [("jump", "the wrist jumped"), ("not_finite", "no finite pose"), ("hide_right", "not seen")],
)
def test_what_a_headset_may_suffer_from_lets_the_robot_go(headset, fault, why):
    emulator, source = headset
    rig = rig_file.load("teleop_vision_pro")
    follower = Follower(rig, "right", fingers("codec", rig.hand("right"), "right", Codec.load()))

    def looked():
        sample = source.read(0.02)
        if sample is not None and "right" in sample.sides:
            follower.see(sample.sides["right"], time.monotonic(), sample.stamp_s)
        follower.expire(time.monotonic())
        return follower

    source.open()
    until(lambda: looked().tracked)
    follower.close(np.array(list(rig.start("right").values())), time.monotonic())
    until(lambda: looked().goal is not None and follower.goal.velocity.any())
    emulator.inject(fault)
    until(lambda: not looked().follows)
    assert why in follower.why or "not seen" in follower.why
    emulator.inject(fault, False)
    until(lambda: looked().tracked)
    assert not follower.follows


def test_a_headset_that_is_gone_is_lost_and_found_again(headset):
    emulator, source = headset
    source.open()
    until(lambda: source.read(0.5))
    emulator.stop()
    until_lost(source)
    with pytest.raises(LinkLost, match="no headset at"):
        source.open()
    emulator.start()
    source.open()
    until(lambda: source.read(0.5), both=True)


def test_the_metacarpals_are_dropped():
    keypoints = closed("right", 0.3)
    np.testing.assert_allclose(joints(keypoints)[list(wire.KEPT), :3, 3], keypoints)
