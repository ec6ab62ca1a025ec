"""The Ability hand: its frames, its driver and its emulator, which must satisfy the vendor's own
client too.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from importlib.util import find_spec

import numpy as np
import pytest
import serial

from xlvla.errors import XlvlaError
from xlvla.hands.ability import HAND
from xlvla_drivers.device import LinkLost
from xlvla_drivers.emulators.ability import Emulator
from xlvla_drivers.hands import ability_frames as wire
from xlvla_drivers.hands.ability import Driver, Options

pytestmark = pytest.mark.usefixtures("hastened")

POSE = dict(zip(HAND.joints, np.radians([-60.0, 50.0, 10.0, 20.0, 30.0, 40.0]), strict=True))


def hexed(text):
    return bytes.fromhex(text)


def words(*degrees):
    return wire.position_words(np.radians(degrees))


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (
            wire.command(0x50, wire.POSITION, 1, words(30, 30, 30, 30, 30, -30)),
            "7E 50 10 99 19 99 19 99 19 99 19 99 19 67 E6 D9 7E",
        ),
        (
            wire.command(0x50, wire.POSITION, 3, words(50, 50, 50, 50, 50, -50)),
            "7E 50 12 AA 2A AA 2A AA 2A AA 2A AA 2A 56 D5 4F 7E",
        ),
        (
            wire.command(0x50, wire.DUTY, 1, np.array([0x7D, 0x7E, 0, 0, 0, 0])),
            "7E 50 40 7D 5D 00 7D 5E 00 00 00 00 00 00 00 00 00 75 7E",
        ),
        (wire.request(0x50, wire.READ_ONLY + 2), "7E 50 A2 0E 7E"),
        (wire.request(0x50, wire.LEAVE_API), "7E 50 7C 34 7E"),
    ],
)
def test_a_command_is_framed_as_the_icd_says(frame, expected):
    assert frame == hexed(expected)


REPLY_3 = hexed("7E 12" + "99 19 00 00" * 5 + "67 E6 00 00" + "00" * 13 + "27 7E")


def test_a_reply_without_touch_is_framed_and_read_as_the_icd_says():
    said = wire.Reply(3, words(30, 30, 30, 30, 30, -30))
    assert wire.reply(0x12, said) == REPLY_3
    heard = wire.read_reply(wire.cut(bytearray(REPLY_3), Counter()) or b"")
    assert heard is not None and heard.variant == 3
    np.testing.assert_allclose(
        heard.position * wire.RAD_PER_COUNT, np.radians([30, 30, 30, 30, 30, -30]), atol=1e-4
    )


def test_touch_is_packed_two_values_to_three_bytes_low_nibble_first():
    touch = np.zeros(30, int)
    touch[:2] = 0x123, 0x456
    frame = wire.reply(0x10, wire.Reply(1, words(30, 30, 30, 30, 30, -30), touch=touch))
    assert frame[26:29] == hexed("23 61 45") and frame[-2] == 0x60 and len(frame) == 74
    np.testing.assert_array_equal(wire.unpack_touch(frame[26:71]), touch)


def test_whatever_bytes_a_frame_has_it_arrives_whole_among_noise():
    rng = np.random.default_rng(0)
    for _ in range(300):
        body = bytes(rng.choice([0x7D, 0x7E, 0x5D, 0x5E, 0x00, 0x20], rng.integers(2, 20)).tolist())
        buffer = bytearray(b"\x01\x02\x03" + wire.stuff(wire.summed(body)) + b"\x7e\x50")
        assert wire.cut(buffer, counts := Counter()) == body
        assert counts["corrupt"] == 1


def test_forces_and_counts_are_each_others_inverse():
    counts = np.arange(4096)
    np.testing.assert_array_equal(wire.touch_counts(wire.newtons(counts))[2:], counts[2:])
    assert wire.newtons(np.array([0]))[0] == 0


@pytest.fixture
def address(tmp_path):
    return str(tmp_path / "ability")


@pytest.fixture
def hand(address):
    emulator = Emulator(address, "right", Options())
    emulator.start()
    yield emulator
    emulator.stop()


@pytest.fixture
def driver(hand, address):
    made = Driver(address, "right", Options())
    made.connect()
    yield made
    made.disconnect()


def follow(driver, pose, seconds=0.5):
    """Streams a pose as a rig does; the last state."""
    until = time.monotonic() + seconds
    state = driver.read()
    while time.monotonic() < until:
        driver.write(pose)
        state = driver.read()
    return state


def test_connecting_moves_nothing(driver, hand):
    time.sleep(0.1)
    np.testing.assert_array_equal(hand.position, np.zeros(6))


def test_a_pose_told_by_name_is_reached_and_read_back(driver, hand):
    state = follow(driver, POSE)
    np.testing.assert_allclose(state.position, list(POSE.values()), atol=2e-3)
    np.testing.assert_allclose(hand.position, list(POSE.values()), atol=2e-3)
    assert state.velocity is not None and state.effort is not None
    assert set(state.tactile) == {"thumb", "index", "middle", "ring", "little"}
    assert abs(time.time_ns() - state.stamp_ns) < 1e9


def test_what_is_written_is_told_after_range_and_resolution(driver):
    sent = driver.write({**POSE, "thumb_q1": 0.5, "index_q1": 3.0})
    assert sent["thumb_q1"] == 0.0
    assert sent["index_q1"] == pytest.approx(np.radians(100), abs=1e-4)
    assert sent["ring_q1"] == pytest.approx(POSE["ring_q1"], abs=1e-4)


@pytest.mark.parametrize("reply", ["effort_touch", "velocity_touch", "effort_velocity", "all"])
def test_every_way_to_reply_says_what_it_promises(hand, address, reply):
    driver = Driver(address, "right", Options(reply=reply))
    driver.connect()
    state = follow(driver, POSE, 0.3)
    driver.disconnect()
    assert (state.effort is not None) == (reply != "velocity_touch")
    assert (state.velocity is not None) == (reply != "effort_touch")
    assert bool(state.tactile) == (reply != "effort_velocity")
    np.testing.assert_allclose(state.position, list(POSE.values()), atol=0.05)


def test_velocity_is_of_the_joint_and_has_its_sign(driver, hand):
    hand.speed[:] = 0.5
    state = follow(driver, POSE, 0.2)
    np.testing.assert_allclose(state.velocity, 0.5 * np.sign(list(POSE.values())), rtol=0.3)


def test_a_finger_held_back_pulls_and_presses(driver, hand):
    hand.inject("stall")
    state = follow(driver, POSE, 0.1)
    assert (
        state.effort is not None and (np.sign(state.effort) == np.sign(list(POSE.values()))).all()
    )
    assert (state.tactile["index"] > 0.5).all()


def test_a_busy_user_does_not_lose_the_hand(driver, hand):
    follow(driver, POSE, 0.1)
    time.sleep(1.0)
    np.testing.assert_allclose(driver.read().position, list(POSE.values()), atol=2e-3)
    assert hand.sessions_ended == 0


HOST = """
import json, sys, time
from xlvla_drivers.hands.ability import Driver, Options
driver = Driver(sys.argv[1], "right", Options())
driver.connect()
driver.write(json.loads(sys.argv[2]))
print("moving", flush=True)
time.sleep(60)
"""


def test_a_hand_nobody_talks_to_stops_following(hand, address):
    hand.speed[:] = 0.2
    command = [sys.executable, "-c", HOST, address, json.dumps(POSE)]
    host = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert host.stdout.readline() == b"moving\n"
        host.send_signal(signal.SIGSTOP)
        until = time.monotonic() + 10.0
        frozen = hand.position
        while not hand.sessions_ended:
            assert time.monotonic() < until
            time.sleep(0.02)
            frozen = hand.position
        time.sleep(0.2)
        np.testing.assert_array_equal(hand.position, frozen)
    finally:
        host.kill()
        host.communicate()
    assert hand.sessions_ended == 1
    assert np.abs(frozen - list(POSE.values())).max() > 0.1


@pytest.mark.parametrize(
    ("fault", "counted"),
    [
        ("bad_checksum", "corrupt"),
        ("truncated", "truncated"),
        ("duplicated", "duplicated"),
        ("late", "late"),
    ],
)
def test_bad_frames_are_counted_and_survived(driver, hand, fault, counted):
    hand.inject(fault)
    follow(driver, POSE, 0.5)
    until = time.monotonic() + 20.0
    while not driver.counts[counted] and time.monotonic() < until:
        np.testing.assert_allclose(
            follow(driver, POSE, 0.1).position, list(POSE.values()), atol=2e-3
        )
    assert driver.counts[counted] >= 1


def test_a_line_that_doubles_answers_does_not_make_the_pose_ever_older(driver, hand):
    hand.inject("duplicated")
    follow(driver, POSE, 0.5)
    asked = 0
    counted = driver.counts["duplicated"]
    for _ in range(300):
        driver.write(POSE)
        driver.read()
        asked += 1
    assert driver.counts["duplicated"] - counted == pytest.approx(asked / 3, rel=0.2)


def test_an_unplugged_hand_is_lost_at_once_and_found_where_it_was(driver, hand, address):
    follow(driver, POSE)
    hand.inject("unplug")
    began = time.monotonic()
    with pytest.raises(LinkLost):
        while time.monotonic() < began + 5.0:
            driver.write(POSE)
            driver.read()
    assert time.monotonic() - began < 1.0
    with pytest.raises(LinkLost):
        driver.connect()
    hand.inject("unplug", on=False)
    time.sleep(0.2)
    driver.connect()
    np.testing.assert_allclose(driver.read().position, hand.position, atol=2e-3)


def test_a_hot_hand_says_which_joints_and_nothing_but_time_clears_it(driver, hand):
    hand.inject("over_temperature")
    assert {fault.joint for fault in driver.read().faults} == set(HAND.joints)
    with pytest.raises(XlvlaError, match="too hot"):
        driver.recover()
    hand.inject("over_temperature", on=False)
    assert driver.recover() == "nothing to clear"


def test_registers_can_be_read_and_written(hand, address):
    with serial.Serial(address, 460800, timeout=0.2) as port:

        def ask(frame):
            port.write(wire.stuff(wire.summed(hexed(frame))))
            return port.read_until(b"\x7e", 1) + port.read_until(b"\x7e")

        assert ask("50 DA 01 00 00 00") == wire.stuff(hexed("A4 FE 11 4E 03 00 00 00 FC"))
        assert ask("50 DE 01 00 00 00 07 00 00 00") == wire.stuff(hexed("A4 FE 11 4E"))
        assert ask("50 DA 01 00 00 00")[5:9] == hexed("07 00 00 00")
        assert ask("50 DE FF 00 00 00 07 00 00 00") == wire.stuff(hexed("FF FF 17 FA"))


VENDOR = """
import json, sys, time
from ah_wrapper import AHSerialClient
address, wanted = sys.argv[1], json.loads(sys.argv[2])
told = {}
for mode in range(3):
    client = AHSerialClient(port=address, baud_rate=460800, reply_mode=mode, rate_hz=300)
    client.set_position(wanted)
    time.sleep(1.0)
    hand = client.hand
    told[mode] = dict(position=hand.get_position(), current=hand.get_current(), touch=hand.get_fsr(), velocity=hand.get_velocity())
    told[mode] |= dict(reads=client.n_reads, writes=client._conn.n_writes)
    client.close()
print("TOLD" + json.dumps(told))
"""


@pytest.mark.skipif(
    find_spec("ah_wrapper") is None, reason="the vendor's client is not installed"
)  # importing it writes files here
def test_the_vendors_client_agrees_with_the_emulator(hand, address, tmp_path):
    wanted = np.degrees(list(POSE.values()))[
        [HAND.joints.index(joint) for joint in wire.WIRE_JOINTS]
    ]
    run = subprocess.run(
        [sys.executable, "-c", VENDOR, address, json.dumps(wanted.tolist())],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout.rpartition("TOLD")[2])
    for mode, says in {
        "0": ("current", "touch"),
        "1": ("velocity", "touch"),
        "2": ("current", "velocity"),
    }.items():
        np.testing.assert_allclose(told[mode]["position"], wanted, atol=0.02)
        assert all(told[mode][name] is not None for name in says)
        assert told[mode]["reads"] > 0.8 * told[mode]["writes"]
    np.testing.assert_allclose(hand.position, list(POSE.values()), atol=1e-3)
