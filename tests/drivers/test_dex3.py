"""The Dex3-1: its frames, its emulator against a plain DDS peer, and our driver against the
emulator.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

if (
    importlib.util.find_spec("cyclonedds") is None
):  # not imported here: rclpy may be in this process
    pytest.skip("cyclonedds is not installed", allow_module_level=True)

from emulated_pair import Pair, closing, leisurely, patient

from xlvla.errors import XlvlaError
from xlvla_drivers import registry
from xlvla_drivers.device import LinkLost
from xlvla_drivers.emulators.dex3 import Emulator
from xlvla_drivers.hands import dex3_frames as wire
from xlvla_drivers.hands import server_link
from xlvla_drivers.hands.dex3 import Driver, Options

pytestmark = pytest.mark.usefixtures("hastened")

leisure = leisurely(server_link, "LINK_TIMEOUT_S", "FRESH_S")

DOMAIN = 100 + os.getpid() % 100
ADDRESS = f"lo@{DOMAIN}"
PEER = Path(__file__).with_name("dex3_peer.py")
STILL_RAD = 0.01


def connected(folder, side="right", **options):
    return Pair(Emulator, Driver, ADDRESS, side, Options(**options))


pair = closing(connected)


def half_closed(hand):
    """Every joint in the middle of its range, by name."""
    plant = hand.emulator.plant
    return dict(zip(hand.driver.joints, (plant.lower + plant.upper) / 2, strict=True))


def vector(pose):
    return np.array(list(pose.values()))


def arrived(target):
    return lambda state: np.allclose(state.position, vector(target), atol=STILL_RAD)


# frames


def test_a_command_is_the_documented_bytes():
    data = wire.command(np.array([0, 0, 0, 0.5, 0, 0, 0]), kp=1.5, kd=0.25)
    assert len(data) == 4 + 4 + 7 * 28 + 16
    assert data[:8].hex(" ") == "00 01 00 00 07 00 00 00"
    for motor in range(7):
        assert data[8 + 28 * motor] == 0x10 + motor
    third = data[8 + 28 * 3 :][:28]
    assert third.hex(" ", 4) == "13000000 0000003f 00000000 00000000 0000c03f 0000803e 00000000"
    assert data[-16:] == bytes(16)


def test_a_release_has_neither_stiffness_nor_damping_and_its_timeout_set():
    motors = wire.decode_command(wire.release())
    assert [int(mode) for mode in motors["mode"]] == [0x90 + motor for motor in range(7)]
    assert not motors["kp"].any() and not motors["kd"].any()


def test_a_mode_byte_holds_number_status_and_timeout():
    assert wire.mode(6) == 0x16 and wire.mode(2, timeout=True) == 0x92
    assert wire.split_mode(0x16) == (6, 1, False) and wire.split_mode(0x92) == (2, 1, True)


def a_state():
    state = wire.new_state()
    state.motors["q"] = np.linspace(0, 0.6, 7)
    state.motors["temperature"][1] = (30, 32)
    state.sensors["pressure"][8, 11] = 2.0
    state.rest["power_v"] = 48
    state.rest["error"] = (0, 5)
    return state


def test_a_state_has_its_values_where_cdr_puts_them():
    data = wire.encode_state(a_state())
    assert len(data) == 4 + (4 + 7 * 56) + (4 + 9 * 104) + 88
    assert data[4:8] == bytes([7, 0, 0, 0]) and data[400:404] == bytes([9, 0, 0, 0])
    # Motor 1: q, then its two temperatures behind dq, ddq and tau_est.
    assert data[64:][4:8] == np.float32(0.1).tobytes() and data[64:][20:24].hex() == "1e002000"
    # The last value of sensor 8.
    assert data[404 + 8 * 104 + 44 :][:4].hex() == "00000040"
    # The voltage behind the IMU's 54 bytes and 2 of padding; the second error word.
    assert data[1340 + 56 :][:4].hex() == "00004042" and data[1340 + 76 :][:4].hex() == "05000000"


def test_messages_come_back_and_damaged_ones_are_none():
    data = wire.encode_state(a_state())
    assert wire.encode_state(wire.decode_state(data)) == data
    sent = wire.command(np.linspace(0, 0.6, 7), 1.5, 0.1)
    assert wire.encode_command(wire.decode_command(sent)) == sent
    for decode, whole in ((wire.decode_state, data), (wire.decode_command, sent)):
        for cut in (0, 3, 6, len(whole) // 2, len(whole) - 1):
            assert decode(whole[:cut]) is None
        assert decode(b"\1" + whole[1:]) is None
        assert decode(whole[:4] + b"\xff\xff\xff\xff" + whole[8:]) is None


def test_options_out_of_range_are_one_line():
    with pytest.raises(XlvlaError, match=r"hand\.rate_hz: must be from 20 to 500, is 5"):
        registry.options("hand", "dex3", {"rate_hz": 5.0}, "hand")
    with pytest.raises(XlvlaError, match="lo@1"):
        Driver("/dev/ttyUSB0", "left", Options())


# the emulator and a plain peer


@pytest.mark.parametrize("side", ["right", pytest.param("left", marks=pytest.mark.long)])
def test_a_peer_with_the_librarys_own_encoder_moves_the_emulated_hand(side):
    emulator = Emulator(ADDRESS, side, Options())
    emulator.start()
    try:
        ran = subprocess.run(
            [sys.executable, str(PEER), str(DOMAIN), side],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr
        found = json.loads(ran.stdout)
        way = 0.8 if side == "right" else -0.8
        assert found.pop("index_0") == pytest.approx(way, abs=STILL_RAD)
        assert found == {"motors": 7, "sensors": 9, "command": True, "state": True, "types": True}
        assert emulator.position[5] == pytest.approx(way, abs=STILL_RAD)
    finally:
        emulator.stop()


# our driver


@pytest.mark.parametrize("side", ["left", pytest.param("right", marks=pytest.mark.long)])
def test_a_hand_goes_where_it_is_told_and_says_so(pair, side):
    hand = pair(side)
    target = half_closed(hand)
    sent = patient(hand.driver.write, target)
    assert list(sent) == list(hand.driver.joints)
    np.testing.assert_allclose(vector(sent), vector(target), atol=1e-6)
    state = hand.read_until(arrived(target))
    np.testing.assert_allclose(hand.emulator.position, vector(target), atol=STILL_RAD)
    assert abs(time.time_ns() - state.stamp_ns) < 1e9
    assert state.velocity is not None and state.effort is not None and not state.faults


def test_both_hands_of_a_robot_are_apart(pair):
    left = pair("left")
    right = pair("right")
    target = half_closed(left)
    patient(left.driver.write, target)
    left.read_until(arrived(target))
    assert np.abs(right.emulator.position).max() < STILL_RAD
    assert right.emulator.counts == {}


def test_a_target_beyond_the_joints_limits_is_sent_as_the_limit(pair):
    hand = pair("right")
    sent = patient(hand.driver.write, dict.fromkeys(hand.driver.joints, -3.0))
    np.testing.assert_allclose(vector(sent), hand.emulator.plant.lower, atol=1e-6)


def test_connecting_drives_no_motor_and_disconnecting_lets_them_go(pair):
    hand = pair()
    patient(hand.driver.read)
    assert hand.emulator.counts == {} and hand.emulator.released
    target = half_closed(hand)
    patient(hand.driver.write, target)
    hand.read_until(arrived(target))
    assert not hand.emulator.released
    hand.driver.disconnect()
    assert hand.emulator.released
    np.testing.assert_allclose(hand.emulator.position, vector(target), atol=STILL_RAD)


def test_pressure_is_reported_by_sensor(pair):
    hand = pair(pressure_n=0.5)
    hand.emulator.press(3, 4.0)
    state = hand.read_until(lambda state: state.tactile["sensor_3"].any())
    assert len(state.tactile) == 9
    np.testing.assert_allclose(state.tactile["sensor_3"], np.full(12, 2.0))
    assert not state.tactile["sensor_2"].any()


@pytest.mark.parametrize(
    ("fault", "count"),
    [("truncated", "truncated"), ("duplicated", "duplicated"), ("late", "late")],
)
def test_frames_gone_wrong_are_counted_and_survived(pair, fault, count):
    hand = pair()
    target = half_closed(hand)
    hand.emulator.inject(fault)
    patient(hand.driver.write, target)
    hand.read_until(lambda state: arrived(target)(state) and hand.driver.counts[count] > 0)
    assert not hand.driver.read().faults


def test_a_motor_error_stops_the_hand_and_heat_is_told(pair):
    hand = pair()
    hand.emulator.inject("over_temperature")
    hot = hand.read_until(lambda state: state.faults)
    assert [(fault.code, fault.joint, fault.stops) for fault in hot.faults] == [
        ("hot", "right_hand_thumb_2_joint", False)
    ]
    assert hot.temperature["right_hand_thumb_2_joint"] == 95
    hand.emulator.inject("over_temperature", False)
    hand.emulator.inject("over_current")
    hand.read_until(lambda state: [fault for fault in state.faults if fault.code == "0x2"])
    taken = hand.emulator.counts.get("taken", 0)
    patient(hand.driver.write, half_closed(hand))
    hand.read_until(lambda _: hand.emulator.counts.get("taken", 0) > taken + 5)
    assert np.abs(hand.emulator.position).max() < STILL_RAD
    with pytest.raises(XlvlaError, match="right_hand_thumb_2_joint: its motor reports an error"):
        hand.driver.recover()
    hand.emulator.inject("over_current", False)
    hand.read_until(lambda state: not state.faults)
    assert "held where it is" in hand.driver.recover()


def test_a_stalled_joint_stays_and_the_others_go_on(pair):
    hand = pair()
    hand.emulator.inject("stall")
    target = half_closed(hand)
    patient(hand.driver.write, target)
    wanted = vector(target)
    wanted[5] = 0.0
    hand.read_until(lambda state: np.allclose(state.position, wanted, atol=STILL_RAD))


def test_a_hand_that_falls_silent_is_lost_and_found_again_where_it_is(pair):
    hand = pair()
    target = half_closed(hand)
    patient(hand.driver.write, target)
    hand.read_until(arrived(target))
    hand.emulator.inject("unplug")
    give_up = time.monotonic() + 10.0
    with pytest.raises(LinkLost):
        while time.monotonic() < give_up:
            hand.driver.read()
    hand.driver.disconnect()
    hand.emulator.inject("unplug", False)
    patient(hand.driver.connect)
    np.testing.assert_allclose(patient(hand.driver.read).position, vector(target), atol=STILL_RAD)


def test_a_network_interface_that_is_not_there_is_one_clear_line():
    with pytest.raises(XlvlaError, match=r"no DDS on network interface 'nosuch0', domain 5"):
        Driver("nosuch0@5", "left", Options()).connect()


@pytest.mark.long
def test_a_hand_that_is_not_there_is_one_clear_line():
    with pytest.raises(LinkLost, match=r"no rt/dex3/left/state within .* is the hand on"):
        Driver(ADDRESS, "left", Options()).connect()


def test_a_hand_that_somebody_else_commands_is_not_commanded(pair):
    hand = pair()
    hand.driver.disconnect()
    with subprocess.Popen(
        [sys.executable, str(PEER), str(DOMAIN), "right", "rival"], stdout=subprocess.PIPE
    ) as rival:
        assert rival.stdout is not None and rival.stdout.readline()
        with pytest.raises(XlvlaError, match="another program writes rt/dex3/right/cmd"):
            hand.driver.connect()
        rival.kill()
