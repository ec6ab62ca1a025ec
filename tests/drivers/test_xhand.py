"""The XHand's frames, and its driver against its emulator: over RS485 and through an SDK."""

from __future__ import annotations

import struct
import time
from collections import Counter

import numpy as np
import pytest
from emulated_pair import Pair, closing, leisurely, patient

from xlvla.errors import XlvlaError
from xlvla_drivers import registry
from xlvla_drivers.device import LINK_TIMEOUT_S, LinkLost
from xlvla_drivers.emulators.xhand import Emulator
from xlvla_drivers.hands import xhand
from xlvla_drivers.hands import xhand_frames as wire
from xlvla_drivers.hands.xhand import Driver, Options

SDK = {"interface": "sdk_rs485", "sdk_module": "xlvla_drivers.emulators.xhand_sdk"}
WAYS = ({}, SDK)


pytestmark = pytest.mark.usefixtures("hastened")

leisure = leisurely(xhand, "LINK_TIMEOUT_S", "REPLY_S")


def connected(folder, **options):
    return Pair(Emulator, Driver, folder / "hand", "left", Options(**options))


pair = closing(connected)


def commands(position=0.1, mode=wire.POSITION):
    made = np.zeros(wire.JOINTS, wire.COMMAND)
    made["id"], made["kp"], made["tor_max"], made["position"], made["mode"] = (
        np.arange(12),
        100,
        300,
        position,
        mode,
    )
    return made


def some_pose(driver, value=0.3):
    return dict.fromkeys(driver.joints, value) | {
        name: 0.1 for name in driver.joints if "index_bend" in name
    }


def test_requests_are_the_known_bytes():
    assert wire.frame(wire.PC, wire.HAND, wire.VERSION) == bytes.fromhex(
        "55 AA FE 80 13 00 00 EF C3"
    )
    assert wire.frame(wire.PC, wire.EVERY_HAND, wire.VERSION) == bytes.fromhex(
        "55 AA FE FF 13 00 00 74 55"
    )
    move = wire.frame(wire.PC, wire.HAND, wire.EXCHANGE, commands().tobytes())
    records = b"".join(
        struct.pack("<H", i) + bytes.fromhex("64 00 00 00 00 00 CD CC CC 3D 2C 01 03 00") + bytes(8)
        for i in range(12)
    )
    assert move == bytes.fromhex("55 AA FE 80 02 20 01") + records + bytes.fromhex("01 FF")
    assert len(move) == 297


def test_a_reply_is_2217_bytes_and_is_read_as_it_was_written():
    state = np.zeros((), wire.STATE)
    state["joints"]["id"], state["joints"]["position"], state["joints"]["temperature"] = (
        np.arange(12),
        0.1,
        30,
    )
    state["tips"]["temperature"] = state["tips"]["temperatures"] = 25
    reply = wire.frame(wire.HAND, wire.PC, wire.EXCHANGE, state.tobytes())
    assert (
        len(reply) == 2217
        and reply[:7] == bytes.fromhex("55 AA 80 FE 02 A0 08")
        and reply[-2:] == bytes.fromhex("7F 18")
    )
    assert reply[7:31] == bytes.fromhex("00 00 CD CC CC 3D 00 00 00 00 1E 00") + bytes(12)
    assert wire.state(wire.parse(reply).payload) == state[()]


def test_a_frame_is_found_among_spoiled_ones():
    sound = wire.frame(wire.HAND, wire.PC, wire.EXCHANGE, bytes(wire.STATE.itemsize))
    spoiled = sound[:100] + b"\x07" + sound[101:]
    absurd = bytes.fromhex("55 AA 80 FE 02 FF FF 00 00 00")
    counts = Counter()
    buffer = bytearray(b"\x55" + spoiled + absurd + sound[:700] + sound + sound[:3])
    assert wire.cut(buffer, counts) == sound
    assert wire.cut(buffer, counts) is None
    assert counts == {"corrupt": 2, "truncated": 1}


@pytest.mark.parametrize("way", WAYS, ids=("frames", "sdk"))
def test_a_hand_goes_where_it_is_told_and_says_so(pair, way):
    hand = pair(**way)
    target = some_pose(hand.driver) | {"left_hand_thumb_rota_joint1": -0.4}
    sent = patient(hand.driver.write, target)
    assert sent == {name: float(np.float32(value)) for name, value in target.items()}
    state = hand.read_until(
        lambda state: np.allclose(state.position, list(sent.values()), atol=2e-3)
    )
    assert np.allclose(hand.emulator.position, list(sent.values()), atol=2e-3)
    assert abs(time.time_ns() - state.stamp_ns) < 1e9
    assert (
        state.temperature["left_hand_mid_joint1"] == 30.0 and state.temperature["thumb_tip"] == 25.0
    )


@pytest.mark.parametrize("way", WAYS, ids=("frames", "sdk"))
def test_a_fingertip_feels_newtons(pair, way):
    hand = pair(**way)
    hand.emulator.contact[1] = (-20, 10, 200)
    state = patient(hand.driver.read)
    assert np.allclose(state.tactile["index_force"], (-2.0, 1.0, 20.0))
    assert state.tactile["index_taxels"].shape == (120, 3) and np.allclose(
        state.tactile["index_taxels"][:, 2], 2.0
    )
    assert not state.tactile["thumb_force"].any()


def test_a_hand_is_passive_until_it_is_told_where_to_go_and_again_after(pair):
    hand = pair()
    patient(hand.driver.read)
    assert not hand.emulator.command["mode"].any()
    patient(hand.driver.write, some_pose(hand.driver))
    patient(hand.driver.read)
    assert (hand.emulator.command["mode"] == wire.POSITION).all()
    patient(hand.driver.read)  # again what was asked last
    assert (hand.emulator.command["mode"] == wire.POSITION).all()
    hand.driver.disconnect()
    time.sleep(0.05)
    assert not hand.emulator.command["mode"].any()


def test_effort_is_told_where_the_torque_constant_is_known(pair):
    hand = pair(torque_nm_a=2.0)
    hand.emulator.inject("stall")
    patient(hand.driver.write, some_pose(hand.driver, 1.0))
    state = hand.read_until(lambda state: state.effort[4] > 0.5)
    assert state.effort[4] == pytest.approx(0.6)
    assert state.tactile["index_force"][2] > 1.0


def test_a_hot_joint_is_reported_by_name_and_is_not_cleared_by_us(pair):
    hand = pair()
    hand.emulator.inject("over_temperature")
    patient(hand.driver.write, some_pose(hand.driver))
    state = hand.read_until(lambda state: state.faults)
    assert [(fault.joint, fault.stops) for fault in state.faults] == [
        ("left_hand_thumb_rota_joint2", True)
    ]
    assert state.temperature["left_hand_thumb_rota_joint2"] == 90.0
    with pytest.raises(XlvlaError, match="left_hand_thumb_rota_joint2"):
        patient(hand.driver.recover)
    hand.emulator.inject("over_temperature", False)
    assert patient(hand.driver.recover) == "no error is left"


def test_recovering_moves_nothing(pair):
    hand = pair()
    hand.emulator.inject("stall")
    patient(hand.driver.write, some_pose(hand.driver, 1.0))
    hand.read_until(lambda state: state.position[6] > 0.9)
    stuck = hand.emulator.position[4]
    patient(hand.driver.recover)
    hand.emulator.inject("stall", False)
    time.sleep(0.1)
    patient(hand.driver.read)
    assert abs(hand.emulator.position[4] - stuck) < 0.05


@pytest.mark.parametrize(
    ("fault", "counted"),
    [
        ("bad_checksum", "corrupt"),
        ("truncated", "truncated"),
        ("duplicated", "duplicated"),
        ("late", "retries"),
    ],
)
def test_corrupted_frames_are_counted_and_survived(pair, fault, counted):
    hand = pair()
    hand.emulator.inject(fault)
    for step in range(15):
        sent = patient(hand.driver.write, some_pose(hand.driver, 0.02 * step))
        patient(hand.driver.read)
        time.sleep(0.012 if fault == "duplicated" else 0.0)
    hand.emulator.inject(fault, False)
    hand.read_until(lambda state: np.allclose(state.position, list(sent.values()), atol=2e-3))
    assert hand.driver.counts[counted] > 0


@pytest.mark.parametrize("way", WAYS, ids=("frames", "sdk"))
def test_an_unplugged_hand_is_lost_in_time_and_found_again(pair, way):
    hand = pair(**way)
    hand.emulator.inject("unplug")
    began_s = time.monotonic()
    with pytest.raises(LinkLost):
        while time.monotonic() - began_s < 5.0:
            hand.driver.read()
    assert time.monotonic() - began_s < 30 * LINK_TIMEOUT_S
    hand.emulator.inject("unplug", False)
    patient(hand.driver.connect)
    patient(hand.driver.read)


def test_a_missing_sdk_is_one_clear_line(tmp_path):
    driver = Driver(
        str(tmp_path / "hand"), "left", Options(interface="sdk_ethercat", sdk_module="no_such_sdk")
    )
    with pytest.raises(XlvlaError, match="SDK is not installed here"):
        driver.connect()


@pytest.mark.parametrize("options", [{"hand_id": 300}, {"tor_max": -1}, {"kp": 40000}])
def test_impossible_options_are_refused(options):
    with pytest.raises(XlvlaError, match=rf"hand\.{next(iter(options))}: must be from"):
        registry.options("hand", "xhand", options, "hand")
