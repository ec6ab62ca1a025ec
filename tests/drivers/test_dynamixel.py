"""Dynamixel leader arms: packets, driver and emulator, which must satisfy the vendor's own SDK
too.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter

import numpy as np
import pytest

from xlvla.errors import XlvlaError
from xlvla_drivers.arms import dynamixel_frames as wire
from xlvla_drivers.arms.dynamixel import Driver, Options
from xlvla_drivers.device import LinkLost
from xlvla_drivers.emulators.dynamixel import Emulator

pytestmark = pytest.mark.usefixtures("hastened")

FAST = Options(baud=1_000_000, gripper_id=8)
OK = 0
POSE = np.array([0.5, -0.4, 1.2, -1.0, 2.0, 0.1, -3.0])


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (wire.packet(1, wire.PING), "FF FF FD 00 01 03 00 01 19 4E"),
        (wire.status(1, 0, bytes.fromhex("06 04 26")), "FF FF FD 00 01 07 00 55 00 06 04 26 65 5D"),
        (
            wire.packet(1, wire.READ, bytes.fromhex("84 00 04 00")),
            "FF FF FD 00 01 07 00 02 84 00 04 00 1D 15",
        ),
        (
            wire.status(1, 0, wire.POSITION.pack(2048)),
            "FF FF FD 00 01 08 00 55 00 00 08 00 00 1C 38",
        ),
        (
            wire.packet(1, wire.WRITE, bytes.fromhex("40 00 01")),
            "FF FF FD 00 01 06 00 03 40 00 01 DB 66",
        ),
        (
            wire.sync_read(128, 8, range(1, 9)),
            "FF FF FD 00 FE 0F 00 82 80 00 08 00 01 02 03 04 05 06 07 08 9B 48",
        ),
        (
            wire.sync_write(wire.GOAL_POSITION, {1: 150, 2: 170}),
            "FF FF FD 00 FE 11 00 83 74 00 04 00 01 96 00 00 00 02 AA 00 00 00 82 87",
        ),
        (wire.status(1, wire.ACCESS_ERROR), "FF FF FD 00 01 04 00 55 07 B0 8C"),
        (
            wire.status(1, 0, bytes.fromhex("FF FF FD FF")),
            "FF FF FD 00 01 09 00 55 00 FF FF FD FD FF DA 9E",
        ),
    ],
)
def test_a_packet_is_framed_as_the_manual_says_and_read_back(frame, expected):
    assert frame == bytes.fromhex(expected)
    body = wire.cut(bytearray(frame), Counter())
    assert body is not None and wire.packet(body[0], body[1], body[2:]) == frame


def test_sound_packets_are_found_among_noise_and_broken_ones():
    rng = np.random.default_rng(1)
    sound = [
        wire.status(k + 1, 0, bytes(rng.choice([0xFF, 0xFD, 0x00], 6).tolist())) for k in range(100)
    ]
    buffer = bytearray()
    counts = Counter()
    found = []
    for k, packet in enumerate(sound):
        broken = packet[:9] + bytes([packet[9] ^ 4]) + packet[10:]
        stream = (b"\x13\xff", packet[: 5 + k % 6], broken, b"")[k % 4] + packet
        for byte in stream:  # byte by byte, as a slow line brings them
            buffer.append(byte)
            if (body := wire.cut(buffer, counts)) is not None:
                found.append(wire.packet(body[0], body[1], body[2:]))
    assert found == sound
    assert counts["corrupt"] >= 45 and counts["truncated"] >= 10


@pytest.fixture
def address(tmp_path):
    return str(tmp_path / "leader")


@pytest.fixture
def arm(address):
    emulator = Emulator(address, "right", FAST)
    emulator.start()
    yield emulator
    emulator.stop()


@pytest.fixture
def driver(arm, address):
    made = Driver(address, "right", FAST)
    made.connect()
    yield made
    made.disconnect()


def test_the_arm_is_read_where_somebody_moved_it(driver, arm):
    arm.plant.place(POSE)
    arm.gripper_deg = (195 + 152) / 2
    state = driver.read()
    np.testing.assert_allclose(state.position, POSE, atol=wire.RAD_PER_COUNT)
    assert (
        state.velocity is not None
        and state.effort is not None
        and set(state.temperature) == {*driver.joints, "gripper"}
    )
    assert driver.gripper == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("opened", "closed", "turns"), [(195, 152, 0), (20, -22, 0), (350, 392, 0), (20, -22, 1)]
)
def test_a_trigger_closes_evenly_wherever_its_servos_zero_is(address, opened, closed, turns):
    options = Options(
        baud=1_000_000, gripper_id=8, gripper_open_deg=opened, gripper_closed_deg=closed
    )
    emulator = Emulator(address, "right", options)
    emulator.start()
    driver = Driver(address, "right", options)
    try:
        driver.connect()
        for share in (-0.2, 0.0, 0.25, 0.5, 0.75, 1.0, 1.2):
            emulator.gripper_deg = opened + share * (closed - opened) + 360 * turns
            driver.read()
            assert driver.gripper == pytest.approx(np.clip(share, 0, 1), abs=0.01)
    finally:
        driver.disconnect()
        emulator.stop()


@pytest.mark.parametrize("closed", [195.0, 338.0 + 57.0, -165.0])
def test_a_triggers_range_that_cannot_be_meant_is_refused(closed):
    with pytest.raises(XlvlaError, match=r"less than half a turn.*such as 20 and -22"):
        Options(gripper_id=8, gripper_closed_deg=closed)


def test_a_limp_arm_stays_where_it_is_whatever_it_is_told(driver, arm):
    arm.plant.place(POSE)
    driver.read()
    sent = driver.write(dict.fromkeys(driver.joints, 0.3))
    np.testing.assert_allclose(list(sent.values()), POSE, atol=wire.RAD_PER_COUNT)
    time.sleep(0.1)
    np.testing.assert_allclose(arm.position, POSE, atol=1e-9)


def test_an_arm_that_holds_follows_gently_and_does_not_move_when_it_connects(arm, address):
    arm.plant.place(POSE)
    driver = Driver(address, "right", Options(baud=1_000_000, gripper_id=8, hold_current_A=0.2))
    driver.connect()
    time.sleep(0.1)
    np.testing.assert_allclose(arm.position, POSE, atol=wire.RAD_PER_COUNT)
    wanted = dict(zip(driver.joints, POSE + 0.2, strict=True))
    sent = driver.write(wanted)
    time.sleep(0.5)
    np.testing.assert_allclose(arm.position, list(sent.values()), atol=2 * wire.RAD_PER_COUNT)
    assert arm.servos[1].get(wire.GOAL_CURRENT) == 200
    driver.disconnect()
    time.sleep(0.05)
    assert not any(servo.get(wire.TORQUE) for servo in arm.servos.values())


def test_turns_a_servo_remembers_do_not_count(arm, address):
    arm.plant.place(POSE + 4 * np.pi)
    driver = Driver(address, "right", FAST)
    driver.connect()
    np.testing.assert_allclose(driver.read().position, POSE, atol=wire.RAD_PER_COUNT)
    arm.plant.place(POSE + 4 * np.pi + 0.5)
    np.testing.assert_allclose(driver.read().position, POSE + 0.5, atol=wire.RAD_PER_COUNT)
    driver.disconnect()


@pytest.mark.parametrize(
    ("fault", "counted"),
    [
        ("bad_checksum", "corrupt"),
        ("truncated", "truncated"),
        ("duplicated", "duplicated"),
        ("late", "late"),
    ],
)
def test_bad_packets_are_counted_and_survived(driver, arm, fault, counted):
    arm.plant.place(POSE)
    arm.inject(fault)
    until = time.monotonic() + 20.0
    while not driver.counts[counted] and time.monotonic() < until:
        np.testing.assert_allclose(driver.read().position, POSE, atol=wire.RAD_PER_COUNT)
    assert driver.counts[counted] >= 1


def test_a_servo_that_says_nothing_is_named(driver, arm):
    arm.inject("loose_cable")
    with pytest.raises(LinkLost, match=r"servo 8 \(gripper\)"):
        driver.read()


def test_an_unplugged_arm_is_lost_at_once_and_found_again(driver, arm):
    arm.inject("unplug")
    with pytest.raises(LinkLost):
        driver.read()
    arm.inject("unplug", on=False)
    time.sleep(0.2)
    driver.connect()
    assert len(driver.read().position) == 7


def test_servos_that_shut_down_are_named_and_rebooted(driver, arm):
    arm.inject("over_temperature")
    until = time.monotonic() + 10.0
    while not (faults := driver.read().faults):
        # The driver asks once a second.
        assert time.monotonic() < until
    assert {fault.joint for fault in faults} == {*driver.joints, "gripper"} and faults[
        0
    ].text == "overheating"
    with pytest.raises(XlvlaError, match="still wrong"):
        driver.recover()
    arm.inject("over_temperature", on=False)
    assert "rebooted joint1" in driver.recover()
    assert driver.read().faults == ()


class Sdk:
    """The vendor's SDK on the emulated line. It waits 34 ms for an answer, which a busy machine may
    miss: then it asks again.
    """

    def __init__(self, address):
        import dynamixel_sdk as sdk

        self.sdk = sdk
        self.timeouts = (sdk.COMM_RX_TIMEOUT, sdk.COMM_RX_CORRUPT)
        self.port = sdk.PortHandler(address)
        self._packets = sdk.PacketHandler(2.0)
        assert self.port.setBaudRate(1_000_000)

    def __call__(self, name, *arguments):
        """Value, result and error of a method of the packet handler, as far as it gives them."""
        return self._patiently(lambda: getattr(self._packets, name)(self.port, *arguments) or (OK,))

    def group(self, kind, *arguments):
        return getattr(self.sdk, kind)(self.port, self._packets, *arguments)

    def read(self, group):
        assert self._patiently(lambda: (group.txRxPacket(),)) == (self.sdk.COMM_SUCCESS,)

    def _patiently(self, ask):
        answer = ask()
        for _ in range(30):
            if not any(timeout in answer for timeout in self.timeouts):
                break
            time.sleep(0.1)  # a late answer must not pass for the next one's
            answer = ask()
        return answer


@pytest.fixture
def vendor(arm, address):
    pytest.importorskip("dynamixel_sdk")
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)  # the SDK spins while it waits: the emulator shares its interpreter
    os.sched_setscheduler(
        0, os.SCHED_OTHER, os.sched_param(0)
    )  # and would keep the kernel from passing its bytes on
    made = Sdk(address)
    yield made
    made.port.closePort()
    sys.setswitchinterval(interval)


def test_the_vendors_sdk_finds_reads_and_moves_the_servos(vendor, arm):
    assert vendor("ping", 1) == (1220, OK, 0)
    arm.plant.place(POSE)
    group = vendor.group("GroupSyncRead", 128, 8)
    for servo in range(1, 8):
        group.addParam(servo)
    vendor.read(group)
    counts = np.array([group.getData(servo, 132, 4) for servo in range(1, 8)], np.uint32).astype(
        np.int32
    )
    np.testing.assert_allclose((counts - 2048) * 2 * np.pi / 4096, POSE, atol=wire.RAD_PER_COUNT)
    assert vendor("write1ByteTxRx", 3, 64, 1) == (OK, 0)
    assert vendor("write4ByteTxRx", 3, 116, 3000) == (OK, 0)
    time.sleep(0.6)
    assert abs(vendor("read4ByteTxRx", 3, 132)[0] - 3000) <= 1


def test_the_vendors_sdk_is_answered_by_everybody_and_refused_as_servos_refuse(vendor):
    found, result = vendor("broadcastPing")
    assert result == OK and sorted(found) == list(range(1, 9)) and found[1] == [1220, 48]
    assert vendor("write1ByteTxRx", 1, 64, 1) == (OK, 0)
    assert vendor("write1ByteTxRx", 1, 11, 4) == (OK, wire.ACCESS_ERROR)
    assert vendor("write4ByteTxRx", 1, 116, 5000) == (OK, wire.LIMIT_ERROR)
    assert vendor("ping", 77)[1] == vendor.sdk.COMM_RX_TIMEOUT


def test_the_vendors_sdk_writes_groups_and_registered_goals(vendor):
    group = vendor.group("GroupSyncWrite", 116, 4)
    for servo in (1, 2):
        group.addParam(servo, wire.GOAL_POSITION.pack(2048 + 100 * servo))
    assert group.txPacket() == OK
    assert vendor("regWriteTxRx", 4, 116, 4, list(wire.GOAL_POSITION.pack(1500))) == (OK, 0)
    bulk = vendor.group("GroupBulkRead")
    for servo in (1, 2, 4):
        bulk.addParam(servo, 116, 4)
    vendor.read(bulk)
    assert [bulk.getData(servo, 116, 4) for servo in (1, 2, 4)] == [2148, 2248, 2048]
    vendor("action", wire.BROADCAST)
    assert vendor("read4ByteTxRx", 4, 116) == (1500, OK, 0)
