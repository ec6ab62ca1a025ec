"""The Inspire hand's frames, and its driver against its emulator over every wire."""

from __future__ import annotations

import socket
import time
from collections import Counter

import numpy as np
import pytest
from emulated_pair import Pair, closing, leisurely, patient
from pymodbus.client import ModbusSerialClient, ModbusTcpClient

from xlvla.errors import XlvlaError
from xlvla_drivers import registry
from xlvla_drivers.device import LINK_TIMEOUT_S, LinkLost
from xlvla_drivers.emulators.inspire import Emulator, SerialSpeech, crc16
from xlvla_drivers.hands import inspire_frames as wire
from xlvla_drivers.hands import inspire_registers
from xlvla_drivers.hands.inspire import GRAM_N, Driver, Options
from xlvla_drivers.hands.inspire_skin import Skin

WIRES = ("serial", "rtu", "tcp")
MODBUS = ("rtu", "tcp")


def hexed(text):
    return bytes.fromhex(text)


pytestmark = pytest.mark.usefixtures("hastened")

leisure = leisurely(inspire_registers, "LINK_TIMEOUT_S", "REPLY_S")


def connected(folder, transport="serial", side="right", model="ftp", **options):
    address = f"127.0.0.1:{free_port()}" if transport == "tcp" else folder / "hand"
    return Pair(
        Emulator, Driver, address, side, Options(transport=transport, model=model, **options)
    )


pair = closing(connected)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def closed(driver, fraction):
    """Every joint so far closed."""
    return {
        name: fraction * upper
        for name, upper in zip(driver.joints, (1.308, 0.6, 1.47, 1.47, 1.47, 1.47), strict=True)
    }


def test_requests_are_the_manuals_bytes():
    assert wire.read_request(1, wire.ANGLE_ACT, 12) == hexed("EB 90 01 04 11 0A 06 0C 32")
    some = wire.shorts([500, 500, -1, 0, 500, 500])
    assert wire.write_request(1, wire.ANGLE_SET, some) == hexed(
        "EB 90 01 0F 12 CE 05 F4 01 F4 01 FF FF 00 00 F4 01 F4 01 C7"
    )
    speed = wire.shorts([500] * 6)
    assert wire.write_request(1, wire.SPEED_SET, speed) == hexed(
        "EB 90 01 0F 12 F2 05 F4 01 F4 01 F4 01 F4 01 F4 01 F4 01 D7"
    )
    assert wire.write_request(1, wire.CLEAR_ERROR, b"\x01") == hexed("EB 90 01 04 12 EC 03 01 07")
    assert wire.read_request(1, wire.ERROR, 6) == hexed("EB 90 01 04 11 46 06 06 68")


def test_replies_are_the_manuals_bytes():
    angles = wire.shorts([100, 100, 100, 100, 2000, 0])
    assert wire.reply(1, wire.READ, wire.ANGLE_ACT, angles) == hexed(
        "90 EB 01 0F 11 0A 06 64 00 64 00 64 00 64 00 D0 07 00 00 98"
    )
    assert wire.reply(1, wire.WRITE, wire.ANGLE_SET, b"\x01") == hexed("90 EB 01 04 12 CE 05 01 EB")
    assert wire.reply(1, wire.READ, wire.ERROR, bytes([0, 0, 0, 6, 0, 0])) == hexed(
        "90 EB 01 09 11 46 06 00 00 00 06 00 00 6D"
    )


def test_a_reply_is_found_among_spoiled_ones():
    sound = wire.reply(1, wire.WRITE, wire.ANGLE_SET, b"\x01")
    spoiled = sound[:-1] + bytes([sound[-1] ^ 1])
    counts = Counter()
    buffer = bytearray(b"\x90" + spoiled + sound[:5] + sound + sound[:4])
    assert wire.cut_reply(buffer, counts) == sound
    assert wire.cut_reply(buffer, counts) is None
    assert counts == {"corrupt": 1, "truncated": 1}
    assert wire.parse(sound) == wire.InspireFrame(1, wire.WRITE, wire.ANGLE_SET, b"\x01")


def test_modbus_shows_shorts_as_they_are_and_of_octets_the_first_high():
    data = wire.shorts([1000, -1])
    assert wire.to_registers(wire.ANGLE_ACT, data) == [1000, 0xFFFF]
    assert wire.to_registers(wire.ERROR, b"\x01\x02") == [0x0102]
    assert wire.to_registers(wire.ERROR, b"\x01\x02", high_first=False) == [0x0201]
    assert wire.from_registers(
        wire.CURRENT, wire.to_registers(wire.CURRENT, bytes(range(30)))
    ) == bytes(range(30))


def test_the_seventeen_fields_fill_the_taxels_registers_without_a_gap():
    fields = sorted(wire.FIELDS.values(), key=lambda field: field.address)
    assert len(fields) == 17
    assert [field.address + field.size for field in fields] == [
        field.address for field in fields[1:]
    ] + [wire.MAP_END]


def test_the_palm_is_sent_column_by_column_from_its_last_row_up():
    palm = wire.taxels("palm", wire.shorts(range(112)))
    assert palm.shape == (8, 14) and palm[7, 0] == 0 and palm[0, 0] == 7 and palm[7, 1] == 8


def test_the_skin_is_read_piece_by_piece_and_shown_field_by_field():
    skin = Skin(taxel_n=0.5, largest=64, rate_hz=1000.0)
    seen = []
    for step in range(60):
        assert skin.due_s <= step
        piece = skin.next(float(step))
        assert skin.due_s > step
        skin.take(piece, wire.shorts([2] * (piece.size // 2)))
        seen.append(len(skin.fields))
    assert seen[:5] == [1, 1, 1, 2, 2] and seen[-1] == 17
    assert all(
        (skin.fields[name] == 1.0).all() and skin.fields[name].size == 0.5 * field.size
        for name, field in wire.FIELDS.items()
    )


@pytest.mark.parametrize("transport", WIRES)
def test_a_hand_goes_where_it_is_told_and_says_so(pair, transport):
    hand = pair(transport)
    target = closed(hand.driver, 0.5)
    sent = patient(hand.driver.write, target)
    assert sent.keys() == target.keys()
    assert all(abs(sent[name] - target[name]) < 0.001 for name in target)
    wanted = np.array(list(sent.values()))
    state = hand.read_until(lambda state: np.allclose(state.position, wanted, atol=0.002))
    assert np.allclose(hand.emulator.position, wanted, atol=0.005)
    assert abs(time.time_ns() - state.stamp_ns) < 1e9


def test_each_joint_moves_its_own_motor(pair):
    hand = pair(model="dfx")
    target = closed(hand.driver, 0.0) | {
        "thumb_proximal_yaw_joint": 1.308,
        "index_proximal_joint": 1.47,
    }
    patient(hand.driver.write, target)
    hand.read_until(lambda state: state.position[0] == 1.308 and state.position[2] == 1.47)
    assert wire.from_shorts(hand.emulator.hand.read(wire.ANGLE_ACT, 12)) == (
        1000,
        1000,
        1000,
        0,
        1000,
        0,
    )


def test_connecting_moves_nothing(pair):
    hand = pair()
    patient(hand.driver.write, closed(hand.driver, 0.5))
    hand.read_until(lambda state: state.position[2] > 0.73)
    time.sleep(0.5)  # until it stands
    before = hand.emulator.position
    hand.driver.disconnect()
    patient(hand.driver.connect)
    time.sleep(0.1)
    assert np.allclose(hand.emulator.position, before, atol=0.002)


def test_speed_and_force_are_set_at_connection(pair):
    hand = pair(speed=250, force=1200).emulator.hand
    assert wire.from_shorts(hand.read(wire.SPEED_SET, 12)) == (250,) * 6
    assert wire.from_shorts(hand.read(wire.FORCE_SET, 12)) == (1200,) * 6


def test_a_slow_hand_is_slow(pair):
    hand = pair(speed=100)
    patient(hand.driver.write, closed(hand.driver, 1.0))
    time.sleep(0.3)
    assert hand.emulator.position[2] < 0.3 * 1.47


@pytest.mark.parametrize("transport", WIRES)
def test_forces_are_felt_in_newton(pair, transport):
    hand = pair(transport, tactile_hz=1000.0, health_hz=100.0)
    hand.emulator.hand.contact_n = np.array([0, 0, 0, 4.0, 2.0, 0])
    state = hand.read_until(lambda state: len(state.tactile) == 6 + 17)
    assert state.tactile["index_force"] == pytest.approx(4.0, abs=GRAM_N)
    assert state.tactile["index_tip"].shape == (3, 3) and state.tactile[
        "index_tip"
    ].sum() == pytest.approx(4.0, abs=5 * GRAM_N)
    assert state.tactile["thumb_tip"].sum() == pytest.approx(2.0, abs=5 * GRAM_N)
    assert not state.tactile["palm"].any()


def test_a_dfx_has_no_skin_but_forces(pair):
    hand = pair(model="dfx")
    assert sorted(patient(hand.driver.read).tactile) == sorted(
        f"{part}_force" for part in wire.PARTS
    )
    assert hand.emulator.hand.read(wire.TAXELS_BEGIN, 18) is None


@pytest.mark.parametrize("transport", WIRES)
def test_a_stalled_finger_is_reported_by_name_and_cleared_where_it_is(pair, transport):
    hand = pair(transport, health_hz=100.0)
    hand.emulator.inject("stall")
    patient(hand.driver.write, closed(hand.driver, 0.5))
    state = hand.read_until(lambda state: state.faults)
    assert [(fault.joint, fault.text, fault.stops) for fault in state.faults] == [
        ("index_proximal_joint", "stall", True)
    ]
    assert state.tactile["index_force"] == pytest.approx(500 * GRAM_N)
    hand.emulator.inject("stall", False)
    stuck = hand.emulator.position[2]
    assert "index_proximal_joint" in patient(hand.driver.recover)
    hand.read_until(lambda state: not state.faults)
    time.sleep(0.1)
    assert abs(hand.emulator.position[2] - stuck) < 0.01


def test_heat_cannot_be_cleared_but_passes(pair):
    hand = pair(health_hz=100.0)
    hand.emulator.inject("over_temperature")
    state = hand.read_until(lambda state: state.faults)
    assert (
        state.faults[0].joint == "thumb_proximal_pitch_joint"
        and state.temperature["thumb_proximal_pitch_joint"] == 85.0
    )
    with pytest.raises(XlvlaError, match="thumb_proximal_pitch_joint: over-temperature"):
        patient(hand.driver.recover)
    hand.emulator.inject("over_temperature", False)
    hand.read_until(lambda state: not state.faults)


def survive(hand, fault, rounds=12):
    hand.emulator.inject(fault)
    sent = None
    for step in range(rounds):
        sent = patient(hand.driver.write, closed(hand.driver, 0.1 + 0.3 * step / rounds))
        patient(hand.driver.read)
    hand.emulator.inject(fault, False)
    wanted = np.array(list(sent.values()))
    hand.read_until(lambda state: np.allclose(state.position, wanted, atol=0.002))


@pytest.mark.parametrize(
    ("transport", "fault", "counted"),
    [
        ("serial", "bad_checksum", "corrupt"),
        ("rtu", "truncated", "truncated"),
        ("tcp", "duplicated", "duplicated"),
        ("rtu", "late", "retries"),
        pytest.param("serial", "truncated", "truncated", marks=pytest.mark.long),
        pytest.param("serial", "duplicated", "duplicated", marks=pytest.mark.long),
        pytest.param("serial", "late", "retries", marks=pytest.mark.long),
        pytest.param("rtu", "bad_checksum", "corrupt", marks=pytest.mark.long),
        pytest.param("rtu", "duplicated", "unexpected", marks=pytest.mark.long),
        pytest.param("tcp", "truncated", "truncated", marks=pytest.mark.long),
        pytest.param("tcp", "late", "retries", marks=pytest.mark.long),
    ],
)
def test_corrupted_frames_are_counted_and_survived(pair, transport, fault, counted):
    hand = pair(transport)
    survive(hand, fault)
    assert hand.driver.counts[counted] > 0


@pytest.mark.parametrize("transport", WIRES)
def test_an_unplugged_hand_is_lost_in_time_and_found_again(pair, transport):
    hand = pair(transport)
    patient(hand.driver.read)
    hand.emulator.inject("unplug")
    began_s = time.monotonic()
    with pytest.raises(LinkLost):
        while time.monotonic() - began_s < 5.0:
            hand.driver.read()
    assert time.monotonic() - began_s < 30 * LINK_TIMEOUT_S
    with pytest.raises(LinkLost):
        hand.driver.write(closed(hand.driver, 0.5))
    hand.emulator.inject("unplug", False)
    patient(hand.driver.connect)
    patient(hand.driver.read)


def test_rtu_answers_are_the_manuals_bytes(pair):
    hand = pair("rtu")
    answer = SerialSpeech(hand.emulator.hand, hand.options).answer
    read = list(answer(hexed("01 03 06 0A 00 06 E5 42")))
    assert read == [
        hexed("01 03 0C 03 E8 03 E8 03 E8 03 E8 03 E8 03 E8")
        + crc16(hexed("01 03 0C" + "03E8" * 6))
    ]
    written = list(answer(hexed("01 10 05 CE 00 06 0C 01 F4 01 F4 FF FF 00 00 01 F4 01 F4 41 51")))
    assert written == [hexed("01 10 05 CE 00 06 21 38")]
    assert wire.from_shorts(hand.emulator.hand.read(wire.ANGLE_SET, 12)) == (
        500,
        500,
        1000,
        0,
        500,
        500,
    )
    assert crc16(hexed("01 03 0C 03 E8 03 E8 03 E8 03 E8 03 E8 01 F4")) == hexed("7C 84")


def test_tcp_answers_are_the_manuals_bytes(pair):
    host, port = pair("tcp").address.split(":")
    with socket.create_connection((host, int(port)), 2.0) as raw:
        raw.sendall(hexed("00 01 00 00 00 06 01 03 06 0A 00 06"))
        assert raw.recv(64) == hexed("00 01 00 00 00 0F 01 03 0C" + "03 E8" * 6)
        raw.sendall(hexed("00 03 00 00 00 06 01 06 03 EC 00 01"))
        assert raw.recv(64) == hexed("00 03 00 00 00 06 01 06 03 EC 00 01")


@pytest.mark.parametrize("transport", MODBUS)
def test_pymodbus_itself_reads_and_writes_the_emulated_hand(pair, transport):
    hand = pair(transport)
    hand.driver.disconnect()
    host, _, port = hand.address.partition(":")
    client = (
        ModbusTcpClient(host, port=int(port))
        if transport == "tcp"
        else ModbusSerialClient(hand.address, baudrate=115200)
    )
    with client:
        assert not client.write_registers(
            wire.ANGLE_SET, [0, 1000, 1000, 1000, 1000, 250]
        ).isError()
        assert not client.write_register(wire.CLEAR_ERROR, 1).isError()
        time.sleep(0.8)
        assert client.read_holding_registers(wire.ANGLE_ACT, count=6).registers == [
            0,
            1000,
            1000,
            1000,
            1000,
            250,
        ]
        assert client.read_holding_registers(wire.TEMP, count=3).registers == [0x2020] * 3
        assert (
            len(client.read_holding_registers(wire.FIELDS["palm"].address, count=112).registers)
            == 112
        )
        assert client.read_holding_registers(6000, count=1).exception_code == 2
        assert client.read_coils(0, count=1).exception_code == 1


def test_a_hand_without_taxels_says_which_option_is_wrong(pair):
    hand = pair("rtu", model="dfx")
    asks_too_much = Driver(
        hand.address, "right", Options(transport="rtu", model="ftp", tactile_hz=1000.0)
    )
    hand.driver.disconnect()
    patient(asks_too_much.connect)
    with pytest.raises(XlvlaError, match=r"options\.model"):
        for _ in range(50):
            patient(asks_too_much.read)
    asks_too_much.disconnect()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"transport": "tcp"}, "transport: tcp needs model: ftp"),
        ({"force": 2000}, r"force is 0\.\.1000 \(dfx\)"),
        ({"hand_id": 0}, "hand_id: must be from 1 to 254, is 0"),
    ],
)
def test_impossible_options_are_one_clear_line(options, line):
    with pytest.raises(XlvlaError, match=line):
        registry.options("hand", "inspire", options, "device.options")


def test_an_unknown_joint_in_the_ranges_is_named():
    with pytest.raises(XlvlaError, match="did you mean 'index_proximal_joint'"):
        Driver("/nowhere", "left", Options(ranges={"index_proximal": (0.0, 1.0)}))


def test_a_port_that_is_not_there_is_a_lost_link(tmp_path):
    for transport in ("serial", "rtu"):
        with pytest.raises(LinkLost):
            Driver(str(tmp_path / "nothing"), "left", Options(transport=transport)).connect()


def test_a_serial_address_for_a_network_hand_is_one_clear_line():
    with pytest.raises(XlvlaError, match=r"needs an address such as 192\.168\.11\.210"):
        Driver("/dev/ttyUSB0", "left", Options(transport="tcp", model="ftp")).connect()
