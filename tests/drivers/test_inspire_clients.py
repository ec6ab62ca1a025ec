"""Two public clients of Inspire hands, which nobody here wrote, drive the emulator: `pyrh56` by the
vendor's serial frames, `inspire-rh56dftp` by Modbus-TCP.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
from emulated_pair import leisurely, patient

from xlvla_drivers.emulators.inspire import Emulator
from xlvla_drivers.hands import inspire_frames as wire
from xlvla_drivers.hands import inspire_registers
from xlvla_drivers.hands.inspire import Driver, Options

pytestmark = pytest.mark.usefixtures("hastened")

leisure = leisurely(inspire_registers, "LINK_TIMEOUT_S", "REPLY_S")

SOON_S = 5.0
TARGET = [800, 700, 600, 500, 400, 300]


def until(true: Callable[[], bool], otherwise: str) -> None:
    give_up_s = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < give_up_s, otherwise
        time.sleep(0.02)


def raw_of(driver: Driver) -> np.ndarray:
    """Where our own driver reads the hand, in the hand's numbers and order."""
    state = patient(driver.read)
    lower, upper = driver_limits()
    share = (state.position - upper) / (lower - upper)
    raw = np.empty(6)
    for value, joint in zip(share, driver.joints, strict=True):
        raw[wire.JOINTS.index(joint)] = 1000 * value
    return raw


def driver_limits() -> tuple[np.ndarray, np.ndarray]:
    from xlvla.hands.inspire import HAND

    limits = HAND.limits("right")
    return limits.lower, limits.upper


def test_the_serial_client_and_our_driver_see_the_same_hand(tmp_path):
    sdk = pytest.importorskip("rh56_sdk")
    from rh56_sdk.exceptions import RH56HardwareError

    port = str(tmp_path / "hand")
    options = Options()
    emulator = Emulator(port, "right", options)
    emulator.start()
    client = sdk.RH56Driver(port, timeout=SOON_S)
    try:
        client.connect()
        client.set_speed([1000] * 6)
        client.set_force_threshold([500] * 6)
        client.check_motion_ready()
        client.move_to(TARGET)
        assert client.wait_until_reached(TARGET, timeout=SOON_S)
        np.testing.assert_allclose(client.read_angle(), TARGET, atol=20)
        client.move_finger(3, 900, base="hold")
        moved = [*TARGET[:3], 900, *TARGET[4:]]
        until(lambda: np.allclose(client.read_angle(), moved, atol=20), "one finger does not move")
        assert client.read_status() == [2] * 6
        assert client.read_error() == [0] * 6
        assert client.read_temperature() == [32] * 6
        client.disconnect()

        driver = Driver(port, "right", options)
        patient(driver.connect)
        np.testing.assert_allclose(raw_of(driver), moved, atol=20)
        driver.disconnect()

        emulator.inject("over_temperature")
        client.connect()
        until(lambda: any(client.read_error()), "heat is not reported")
        assert client.read_error()[4] == 2
        with pytest.raises(RH56HardwareError, match="Motion blocked"):
            client.check_motion_ready()
    finally:
        client.disconnect()
        emulator.stop()


@pytest.fixture
def serial(tmp_path):
    """An emulated hand on a serial port and the public client that talks to it."""
    sdk = pytest.importorskip("rh56_sdk")
    port = str(tmp_path / "hand")
    emulator = Emulator(port, "right", Options())
    emulator.start()
    client = sdk.RH56Driver(port, timeout=SOON_S)
    client.connect()
    yield emulator, client, port
    client.disconnect()
    emulator.stop()


def test_the_serial_clients_doctor_finds_every_register_it_reads(serial, capsys):
    from rh56_sdk import cli

    _, client, port = serial
    client.disconnect()
    assert cli.main(["doctor", "--port", port]) == 0
    assert "FAIL" not in capsys.readouterr().out


def test_numbers_outside_their_range_leave_alone_what_was_there(serial):
    from rh56_sdk import registers as theirs

    _, client, _ = serial
    for address, good, bad in [
        (theirs.REG_SPEED_SET, 400, 0xFFFF),
        (theirs.REG_SPEED_SET, 300, 2000),
        (theirs.REG_FORCE_SET, 600, 3000),
        (theirs.REG_ANGLE_SET, 900, 1500),
        (theirs.REG_POS_SET, 250, 2500),
    ]:
        client._write_reg16(address, [good] * 6)
        client._write_reg16(address, [bad] * 5 + [good])
        assert client._read_reg16(address, 6) == good.to_bytes(2, "little") * 6, (address, bad)


def test_strokes_move_a_hand_as_angles_do(serial):
    from rh56_sdk import registers as theirs

    _, client, _ = serial
    client.set_speed([1000] * 6)
    client._write_reg16(theirs.REG_POS_SET, [600] * 5 + [0xFFFF])
    expected = [700] * 5 + [1000]
    until(lambda: np.allclose(client.read_angle(), expected, atol=20), "the hand does not move")
    assert np.allclose(client.read_actuator_position(), [600] * 5 + [0], atol=40)


def test_a_finger_that_is_blocked_reports_it_though_nobody_asked_meanwhile(serial):
    emulator, client, _ = serial
    client.set_speed([1000] * 6)
    emulator.inject("stall")
    client.move_to([0] * 6)
    time.sleep(0.5)
    assert client.read_error() == [0, 0, 0, 1, 0, 0]
    assert client.read_status()[3] == 6


def test_a_hand_answers_as_whom_it_was_told_to_be(serial):
    from rh56_sdk import registers as theirs
    from rh56_sdk.exceptions import RH56TimeoutError

    _, client, port = serial
    client._write_u8(theirs.REG_HAND_ID, 0)
    assert client._read_bytes(theirs.REG_HAND_ID, 1) == b"\x01", "no hand is called so"
    client._write_u8(theirs.REG_HAND_ID, 7)
    client.disconnect()
    import rh56_sdk as sdk

    renamed = sdk.RH56Driver(port, node_id=7, timeout=SOON_S)
    renamed.connect()
    assert renamed.read_angle() == [1000] * 6
    assert renamed._read_bytes(theirs.REG_HAND_ID, 1) == b"\x07"
    renamed.disconnect()
    stranger = sdk.RH56Driver(port, node_id=1, timeout=0.2)
    with pytest.raises(RH56TimeoutError):
        stranger.connect()
        stranger.read_angle()
    stranger.disconnect()


def test_the_network_client_and_our_driver_see_the_same_hand():
    dftp = pytest.importorskip("inspire_rh56dftp")
    from inspire_rh56dftp.registers import ANGLE_ACT, FORCE_ACT, TACTILE_REGIONS

    address = "127.0.77.31:6000"
    options = Options(transport="tcp", model="ftp")
    emulator = Emulator(address, "right", options)
    emulator.start()
    client = dftp.InspireHand(ip="127.0.77.31", port=6000, min_send_interval_s=0.0)
    try:
        assert client.send_raw(TARGET)
        until(
            lambda: np.allclose(client.read_holding(ANGLE_ACT, 6), TARGET, atol=20),
            "the hand does not move",
        )
        assert len(client.read_holding(FORCE_ACT, 6)) == 6
        assert client.read_holding(wire.HAND_ID, 1) == [options.hand_id]
        client._write_and_ack(wire.HAND_ID, [5])
        assert client.read_holding(wire.HAND_ID, 1) == [5]
        for name, start, count, _ in TACTILE_REGIONS:
            assert len(client.read_holding(start, count)) == count, name

        emulator.hand.contact_n = np.array([0, 0, 0, 8.0, 0, 0])
        (_, start, count, shape) = next(row for row in TACTILE_REGIONS if row[0] == "index_tip")
        until(lambda: sum(client.read_holding(start, count)) > 0, "no taxel feels the touch")
        tip = np.array(client.read_holding(start, count)).reshape(shape)
        assert tip.argmax() == 4, "the middle taxel feels most"
        client.close()

        driver = Driver(address, "right", options)
        patient(driver.connect)
        np.testing.assert_allclose(raw_of(driver), TARGET, atol=20)
        driver.disconnect()
    finally:
        client.close()
        emulator.stop()
