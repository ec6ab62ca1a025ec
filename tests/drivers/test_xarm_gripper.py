"""The xArm Gripper: its frames, its emulator against the vendor's SDK, and our driver against the
emulator.
"""

from __future__ import annotations

import socket
import time

import numpy as np
import pytest
from emulated_pair import Pair, closing, leisurely, patient

from xlvla.errors import XlvlaError
from xlvla_drivers import registry
from xlvla_drivers.arms import xarm7_frames as arm_wire
from xlvla_drivers.arms.xarm7 import Options as ArmOptions
from xlvla_drivers.device import LinkLost
from xlvla_drivers.emulators import xarm7
from xlvla_drivers.emulators.xarm_gripper import Emulator
from xlvla_drivers.hands import xarm_gripper
from xlvla_drivers.hands import xarm_gripper_frames as wire
from xlvla_drivers.hands.xarm_gripper import Driver, Options

pytestmark = [
    pytest.mark.usefixtures("hastened"),
    pytest.mark.filterwarnings("ignore:The 'warn' method:DeprecationWarning"),  # the SDK's
]

leisure = leisurely(xarm_gripper, "LINK_TIMEOUT_S")

HOST = "127.0.78.1"
ADDRESS = f"{HOST}:1502"
CLOSE_RAD = 0.002


def connected(folder, side="right", **options):
    return Pair(Emulator, Driver, ADDRESS, side, Options(**options))


pair = closing(connected)


def going(hand, angle):
    """Sends a target until the gripper is there, as a node does."""

    def arrived(state):
        patient(hand.driver.write, {"drive_joint": angle})
        return abs(state.position[0] - angle) < CLOSE_RAD

    return hand.read_until(arrived)


# frames


def framed(payload, reply=False):
    """A request with transaction 1 as it goes over the line, or its reply with no error."""
    request = arm_wire.Request(1, arm_wire.PRIVATE_PROTOCOL, wire.RS485, b"" if reply else payload)
    return arm_wire.reply(request, 0, payload) if reply else request.encode()


@pytest.mark.parametrize(
    ("payload", "request_bytes", "reply_bytes"),
    [
        (
            wire.write_request(wire.MODE, (wire.POSITION_MODE,)),
            "00 01 00 02 00 0B 7C 09 08 10 01 01 00 01 02 00 00",
            "00 01 00 02 00 09 7C 00 09 08 10 01 01 00 01",
        ),
        (
            wire.write_request(wire.ENABLE, (1,)),
            "00 01 00 02 00 0B 7C 09 08 10 01 00 00 01 02 00 01",
            "00 01 00 02 00 09 7C 00 09 08 10 01 00 00 01",
        ),
        (
            wire.write_request(wire.SPEED, (1500,)),
            "00 01 00 02 00 0B 7C 09 08 10 03 03 00 01 02 05 DC",
            "00 01 00 02 00 09 7C 00 09 08 10 03 03 00 01",
        ),
    ],
)
def test_writes_are_the_bytes_of_the_manual(payload, request_bytes, reply_bytes):
    assert framed(payload) == bytes.fromhex(request_bytes)
    request = wire.SlaveRequest.decode(payload)
    assert framed(request.answer(), reply=True) == bytes.fromhex(reply_bytes)
    assert wire.is_written(request.answer(), request.register, request.count)


def test_reading_the_position_is_the_bytes_of_the_manual():
    asked = wire.read_request(wire.POSITION, 2)
    assert framed(asked) == bytes.fromhex("00 01 00 02 00 08 7C 09 08 03 07 02 00 02")
    answer = wire.SlaveRequest.decode(asked).answer(wire.long_words(400))
    assert framed(answer, reply=True) == bytes.fromhex(
        "00 01 00 02 00 0A 7C 00 09 08 03 04 00 00 01 90"
    )
    assert wire.long_value(wire.read_words(answer, 2)) == 400


@pytest.mark.parametrize("pulses", [-10, -1, 0, 400, 850])
def test_pulses_survive_two_registers_and_the_angle(pulses):
    assert wire.long_value(wire.long_words(pulses)) == pulses
    assert wire.pulses(wire.angle(pulses)) == pulses


def test_an_open_gripper_is_at_zero_and_a_closed_one_at_the_joints_end():
    assert wire.angle(850) == 0.0 and wire.angle(0) == 0.85


def test_damaged_frames_are_no_answers():
    answer = wire.SlaveRequest.decode(wire.read_request(wire.ERROR, 1)).answer((0,))
    for cut in range(len(answer)):
        assert wire.read_words(answer[:cut], 1) is None
    assert wire.read_words(wire.SlaveRequest(wire.ERROR, 1).refusal(), 1) is None
    request = wire.write_request(wire.TARGET, (0, 400))
    for cut in range(len(request)):
        assert wire.SlaveRequest.decode(request[:cut]) is None


def test_options_out_of_range_are_one_line():
    with pytest.raises(XlvlaError, match=r"hand\.speed_rpm: must be from 1 to 5000, is 9000"):
        registry.options("hand", "xarm_gripper", {"speed_rpm": 9000}, "hand")


# the emulator and the vendor's SDK alone


def test_the_vendors_sdk_drives_the_emulated_gripper(monkeypatch):
    pytest.importorskip("xarm.version")
    from xarm.core.config.x_config import XCONF
    from xarm.core.wrapper import uxbus_cmd_tcp
    from xarm.wrapper import XArmAPI

    monkeypatch.setattr(XCONF.SocketConf, "TCP_CONTROL_PORT", 1502)
    monkeypatch.setattr(
        uxbus_cmd_tcp, "print", lambda *_: None, raising=False
    )  # from a thread while pytest swaps stdout: crashes
    emulator = Emulator(ADDRESS, "right", Options())
    emulator.start()
    arm = XArmAPI(HOST, is_radian=True, forbid_uds=True, check_joint_limit=False)
    try:
        assert [
            arm.motion_enable(True),
            arm.set_state(0),
            arm.set_gripper_mode(0),
            arm.set_gripper_enable(True),
            arm.set_gripper_speed(5000),
        ] == [0] * 5
        assert arm.get_gripper_position() == (0, 850)
        assert arm.set_gripper_position(300, wait=True) == 0
        assert emulator.position[0] == pytest.approx(0.55, abs=CLOSE_RAD)
        code, pulses = arm.get_gripper_position()
        assert code == 0 and abs(pulses - 300) <= 1
        emulator.inject("over_current")
        assert arm.get_gripper_err_code() == (0, 11)
        emulator.inject("over_current", False)
        assert arm.clean_gripper_error() == 0 and arm.get_gripper_err_code() == (0, 0)
    finally:
        arm.disconnect()
        socket.setdefaulttimeout(None)
        emulator.stop()


# our driver


def test_the_gripper_goes_where_it_is_told_and_says_so(pair):
    hand = pair()
    state = going(hand, 0.6)
    assert hand.emulator.position[0] == pytest.approx(0.6, abs=CLOSE_RAD)
    assert abs(time.time_ns() - state.stamp_ns) < 1e9 and not state.faults
    going(hand, 0.0)


def test_connecting_and_disconnecting_move_nothing(pair):
    hand = pair()
    hand.emulator.plant.place(np.array([0.4]))
    patient(hand.driver.connect)
    assert patient(hand.driver.read).position[0] == pytest.approx(0.4, abs=CLOSE_RAD)
    hand.driver.disconnect()
    assert hand.emulator.position[0] == 0.4
    assert wire.TARGET not in hand.emulator.counts


def test_what_was_sent_is_told_in_whole_pulses_and_within_the_stroke(pair):
    hand = pair()
    assert patient(hand.driver.write, {"drive_joint": 0.3004})["drive_joint"] == 0.3
    hand.driver.disconnect()
    patient(hand.driver.connect)
    assert patient(hand.driver.write, {"drive_joint": 2.0})["drive_joint"] == 0.85


def test_a_target_that_stays_is_sent_once(pair):
    hand = pair()
    going(hand, 0.2)
    assert hand.emulator.counts[wire.TARGET] == 1


@pytest.mark.parametrize(("fault", "code"), [("over_current", "G11"), ("stall", "G23")])
def test_an_error_stops_the_gripper_until_it_recovers_where_it_is(pair, fault, code):
    hand = pair()
    going(hand, 0.3)
    hand.emulator.inject(fault)
    patient(hand.driver.write, {"drive_joint": 0.7})

    def failed(state):
        return [entry.code for entry in state.faults] == [code]

    state = hand.read_until(failed)
    assert state.faults[0].joint == "drive_joint" and state.faults[0].stops
    assert patient(hand.driver.write, {"drive_joint": 0.7}) == {}
    if fault == "over_current":
        with pytest.raises(XlvlaError, match=r"G11 \(current beyond its limit\) remains"):
            patient(hand.driver.recover)
    hand.emulator.inject(fault, False)
    stopped = hand.emulator.position[0]
    assert f"cleared {code}" in patient(hand.driver.recover)
    assert hand.emulator.position[0] == pytest.approx(stopped, abs=CLOSE_RAD)
    assert not patient(hand.driver.read).faults
    going(hand, 0.7)


def test_a_gripper_that_is_pulled_off_is_a_lost_link_that_says_so(pair):
    hand = pair()
    going(hand, 0.3)
    hand.emulator.inject("unplug")
    give_up = time.monotonic() + 10.0
    with pytest.raises(LinkLost, match=r"the gripper does not answer \(C19\): is one connected"):
        while time.monotonic() < give_up:
            hand.driver.read()
    hand.driver.disconnect()
    hand.emulator.inject("unplug", False)
    patient(hand.driver.connect)
    assert patient(hand.driver.read).position[0] == pytest.approx(0.3, abs=CLOSE_RAD)


@pytest.mark.parametrize(
    ("fault", "count"),
    [("bad_header", "corrupt"), ("truncated", "truncated"), ("duplicated", "unexpected")],
)
def test_answers_gone_wrong_are_counted_and_survived(fault, count):
    arm = xarm7.Emulator(ADDRESS, "right", ArmOptions())
    arm.start()
    hand = connected(None)
    try:
        arm.inject(fault)
        going(hand, 0.5)
        assert hand.driver.counts[count] > 0
        assert not patient(hand.driver.read).faults
    finally:
        hand.close()
        arm.stop()


def test_arm_and_gripper_of_one_controller_move_apart():
    pytest.importorskip("xarm.version")
    from xlvla_drivers.arms.xarm7 import Driver as ArmDriver

    arm = xarm7.Emulator(ADDRESS, "right", ArmOptions())
    arm.start()
    hand = connected(None)
    driver = ArmDriver(ADDRESS, "right", ArmOptions())
    try:
        patient(driver.connect)
        going(hand, 0.4)
        assert np.abs(arm.position).max() < 1e-9
        patient(driver.write, dict.fromkeys(driver.joints, 0.05))
        hand.read_until(lambda _: np.allclose(arm.position, 0.05, atol=1e-3))
        assert hand.emulator.position[0] == pytest.approx(0.4, abs=CLOSE_RAD)
    finally:
        driver.disconnect()
        hand.close()
        arm.stop()


def test_a_controller_without_a_gripper_and_nobody_at_the_address_are_one_clear_line():
    arm = xarm7.Emulator(ADDRESS, "right", ArmOptions())
    arm.start()
    try:
        with pytest.raises(LinkLost, match="the gripper does not answer"):
            patient(Driver(ADDRESS, "right", Options()).connect, seconds=0.0)
    finally:
        arm.stop()
    with pytest.raises(LinkLost, match=r"no xArm answers at 127\.0\.78\.1:1502"):
        Driver(ADDRESS, "right", Options()).connect()
