"""Headsets with a browser: events as bytes, and the source against the emulated headset in both layouts."""

from __future__ import annotations

import socket

import msgpack
import numpy as np
import pytest
from streams import assert_seen, steady, until, until_lost

from xlvla.errors import XlvlaError
from xlvla_drivers.emulators import person
from xlvla_drivers.emulators.webxr import Emulator
from xlvla_drivers.teleop import webxr_frames as wire
from xlvla_drivers.teleop.webxr import Driver, Options

BOTH = ("left", "right")


def test_the_smallest_event_is_the_published_one():
    published = bytes.fromhex("83 A5 65 74 79 70 65 A4 49 4E 49 54 A2 74 73 01 A5 76 61 6C 75 65 80")
    assert wire.event(wire.INIT, {}, 1) == published
    assert wire.read(published) == (wire.INIT, 0.001, {})


@pytest.mark.parametrize("frame", [b"", b"\x00", b"\x83\xa5etype", b"\xc1", msgpack.packb([1, 2]), msgpack.packb({"etype": "INIT"}), "{}"])
def test_what_is_no_event_is_refused(frame):
    with pytest.raises(XlvlaError, match="no event"):
        wire.read(frame)


def hand_numbers():
    joints = np.tile(np.eye(4), (25, 1, 1))
    joints[:, :3, 3] = np.random.default_rng(0).normal(size=(25, 3))
    return joints


@pytest.mark.parametrize("written", ["list", "bytes", "ext"])
def test_both_layouts_and_all_ways_of_writing_numbers_say_the_same(written):
    joints = hand_numbers().astype("<f4")
    ways = {"list": lambda a: a.ravel().tolist(), "bytes": lambda a: a.tobytes(), "ext": lambda a: msgpack.ExtType(23, a.tobytes())}
    pack = ways[written]
    columns = np.ascontiguousarray(joints.transpose(0, 2, 1))
    new = {"left": pack(columns), "right": None, "leftState": {"pinch": False}}
    old = {"leftHand": pack(columns[0]), "leftLandmarks": pack(np.ascontiguousarray(joints[:, :3, 3]))}
    for value in (new, old):
        found = wire.hands(wire.read(wire.event(wire.HAND_MOVE, value, 5))[2])
        assert list(found) == ["left"]
        np.testing.assert_allclose(found["left"][0], joints[0])
        np.testing.assert_allclose(found["left"][1], joints[list(wire.KEPT), :3, 3])


@pytest.mark.parametrize("value", [None, {}, {"left": [0.0] * 400}, {"left": [1.0] * 399}, {"right": "hand"}, {"left": b"123"}])
def test_a_hand_that_is_not_there_is_not_seen(value):
    assert wire.hands(value) == {}


@pytest.fixture
def headset():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    source, emulator = Driver(address, BOTH, Options(), None), Emulator(address, "right", Options())
    source.open()
    yield emulator, source
    emulator.stop()
    source.close()


@pytest.mark.parametrize("old", [True, False])
def test_hands_come_as_the_person_moves_them(headset, old):
    emulator, source = headset
    emulator.old, emulator.moves = old, steady(emulator.moves, at_s=1.7)
    emulator.start()
    assert_seen(until(lambda: source.read(0.5), both=True), at_s=1.7)


def test_a_headset_that_leaves_is_lost_and_may_come_back(headset):
    emulator, source = headset
    emulator.start()
    until(lambda: source.read(0.5))
    emulator.inject("unplug")
    until_lost(source)
    source.open()
    emulator.inject("unplug", False)
    until(lambda: source.read(0.5), both=True)


def test_a_second_headset_is_sent_away(headset):
    emulator, source = headset
    emulator.start()
    until(lambda: source.read(0.5))
    second = Emulator(source.address, "right", Options())
    second.moves = lambda side, time_s: (np.eye(4) * np.array([1, 1, 1, 1]) + 9.0 * np.eye(4, k=3), person.hand(side, 0.0)[1])
    second.start()
    try:
        for _ in range(60):
            sample = source.read(0.1)
            assert sample is None or all(abs(tracked.T_world_wrist[:3, 3]).max() < 5 for tracked in sample.sides.values())
    finally:
        second.stop()
