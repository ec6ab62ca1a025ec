"""The Unitree G1: its frames, its emulator against a plain DDS peer, and our drivers against the
emulator.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

if (
    importlib.util.find_spec("cyclonedds") is None
):  # not imported here: rclpy may be in this process
    pytest.skip("cyclonedds is not installed", allow_module_level=True)

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla.types import SIDES
from xlvla_drivers.arms import g1_frames as wire
from xlvla_drivers.arms.g1 import WAIST_RAD, Driver, Options, socket_path, split_address
from xlvla_drivers.arms.g1_load import Load
from xlvla_drivers.device import LinkLost
from xlvla_drivers.emulators.g1 import Emulator
from xlvla_drivers.registry import configured

pytestmark = pytest.mark.usefixtures("hastened")

DOMAIN = 100 + os.getpid() % 100
ADDRESS = f"lo@{DOMAIN}"
OPTIONS = Options(ramp_s=0.3)
HOME = {
    "left": np.array([0.1, 0.3, 0.1, 0.5, 0.1, 0.1, 0.1]),
    "right": np.array([0.1, -0.3, -0.1, 0.5, -0.1, 0.1, -0.1]),
}
PEER = Path(__file__).with_name("g1_peer.py")
SOON_S = 60.0
STILL_RAD = 0.01


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A machine that runs many tests at once makes anybody wait."""
    monkeypatch.setattr("xlvla_drivers.arms.g1.LINK_TIMEOUT_S", 0.8)


@pytest.fixture
def emulators():
    made = {side: Emulator(ADDRESS, side, OPTIONS) for side in SIDES}
    for side, emulator in made.items():
        emulator.plant.place(HOME[side])
        emulator.start()
    yield made
    for emulator in made.values():
        emulator.stop()


@pytest.fixture
def driver(emulators):
    made = Driver(ADDRESS, "left", OPTIONS)
    made.connect()
    yield made
    made.disconnect()


def until(true, otherwise: str):
    give_up = time.monotonic() + SOON_S
    while not (value := true()):
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.01)
    return value


def lost(driver):
    with contextlib.suppress(LinkLost):
        driver.read()
        return False
    return True


def connected(driver):
    with contextlib.suppress(LinkLost):
        driver.connect()
        return True
    return False


def stream(driver, target, seconds: float = 0.5):
    """Commands a straight way from where the arm is, 100 times a second, and its end for a while:
    where commands end in motion, an arm brakes beyond the last of them.
    """
    start = driver.read().position
    for way in [*np.linspace(0, 1, round(100 * seconds)), *np.ones(30)]:
        driver.read()
        driver.write(dict(zip(driver.joints, start + way * (target - start), strict=True)))
        time.sleep(0.01)


def arrives(emulator, target):
    until(lambda: np.allclose(emulator.position, target, atol=STILL_RAD), "the arm does not arrive")


@contextlib.contextmanager
def watched(emulator):
    """The poses [n, 7] the arm goes through meanwhile."""
    poses = [emulator.position]
    over = threading.Event()

    def watch():
        while not over.wait(0.005):
            poses.append(emulator.position)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield poses
    finally:
        over.set()
        thread.join()


# frames


def a_command():
    command = wire.LOW_CMD.new()
    command["mode_machine"] = 5
    motors = command["motor_cmd"]
    motors["mode"][15], motors["q"][15], motors["kp"][15], motors["kd"][15] = 1, 0.5, 60, 1.5
    motors["q"][wire.WEIGHT] = 1
    return command


def a_state():
    state = wire.LOW_STATE.new()
    state["mode_machine"], state["tick"], state["quaternion"] = 5, 1000, (1, 0, 0, 0)
    state["motor_state"]["q"][15], state["motor_state"]["temperature"][15] = 0.5, (30, 32)
    return state


@pytest.mark.parametrize(
    ("message", "crc"),
    [(wire.LOW_CMD.new(), 0xFE172F9F), (a_command(), 0xCBA56233), (a_state(), 0x6E276432)],
)
def test_the_crc_is_the_documented_one(message, crc):
    assert wire.crc(message) == wire.crc(message.copy()) == crc


def test_values_are_where_cdr_puts_them():
    data = wire.LOW_CMD.encode(a_command())
    assert len(data) == 1004 and data[:6].hex() == "000100000005"
    assert {at: data[at : at + 4].hex() for at in (424, 428, 440, 444, 820, 1000)} == {
        424: "01000000", 428: "0000003f", 440: "00007042", 444: "0000c03f", 820: "0000803f", 1000: "3362a5cb"
    }  # fmt: skip
    data = wire.LOW_STATE.encode(a_state())
    assert (
        len(data) == 2092
        and data[13] == 5
        and data[16:20].hex() == "e8030000"
        and data[20:24].hex() == "0000803f"
    )
    assert data[916:920].hex() == "0000003f"


@pytest.mark.parametrize(
    ("layout", "message"), [(wire.LOW_CMD, a_command()), (wire.LOW_STATE, a_state())]
)
def test_messages_come_back_and_damage_shows(layout, message):
    data = layout.encode(message)
    back = layout.decode(data)
    assert wire.is_sound(back) and layout.encode(back.copy()) == data
    assert layout.decode(data[:-1]) is None
    for at in (4, 6, 40, len(data) - 1):
        assert not wire.is_sound(layout.decode(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]))


def test_an_address_is_an_interface_with_the_robots_domain_unless_it_says_another():
    assert split_address("eth0") == ("eth0", 0) and split_address("lo@1") == ("lo", 1)
    with pytest.raises(XlvlaError, match="lo@1"):
        split_address("lo@first")


# the emulator and a plain peer


def test_a_peer_with_the_librarys_own_encoder_moves_the_emulated_robot(emulators):
    ran = subprocess.run(
        [sys.executable, str(PEER), str(DOMAIN)], capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    expected = HOME["left"].copy()
    expected[0] = 0.5 - given_way(HOME["left"])
    assert found.pop("ticks") > 100
    assert found.pop("shoulder") == pytest.approx(expected[0], abs=STILL_RAD)
    assert found == {"mode_machine": 5, "crc": True, "size": 2092, "same_bytes": True}
    np.testing.assert_allclose(emulators["left"].position, expected, atol=STILL_RAD)
    np.testing.assert_allclose(emulators["right"].position, HOME["right"], atol=STILL_RAD)


def given_way(pose):
    """How far a left shoulder at 0.5 rad gives way to the arm's weight [rad], held by a peer's
    stiffness alone.
    """
    here = pose.copy()
    here[0] = 0.5
    return held_up(Load(), here)[0] / 60


def held_up(load, pose):
    """The torques [7] Nm that hold the left arm up at a pose [7] rad."""
    whole = np.zeros(wire.JOINTS)
    whole[wire.ARM["left"]] = pose
    return load.torques(whole)[wire.ARM["left"]]


def test_a_program_that_says_as_little_as_the_vendors_example_moves_it_too(emulators):
    ran = subprocess.run(
        [sys.executable, str(PEER), str(DOMAIN), "example"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    reached = 0.5 - given_way(HOME["left"])
    assert json.loads(ran.stdout)["shoulder"] == pytest.approx(reached, abs=STILL_RAD)
    assert not {"corrupt", "wrong mode_machine"} & set(emulators["left"].counts)


# our driver


def test_the_arms_are_taken_over_and_given_back_without_motion(emulators):
    driver = Driver(ADDRESS, "left", OPTIONS)
    with watched(emulators["left"]) as poses:
        driver.connect()
        state = driver.read()
        driver.disconnect()
    np.testing.assert_allclose(poses, np.tile(HOME["left"], (len(poses), 1)), atol=STILL_RAD)
    np.testing.assert_allclose(state.position, HOME["left"], atol=STILL_RAD)
    assert (
        state.faults == ()
        and state.velocity is not None
        and state.effort is not None
        and len(state.temperature) == 7
    )
    assert emulators["left"].counts["taken"] > 50
    assert not socket_path(ADDRESS).with_suffix(".engaged").exists()


@pytest.mark.parametrize("way", ["arm_sdk", pytest.param("lowcmd", marks=pytest.mark.long)])
def test_motors_hold_up_the_hand_that_an_arm_carries(way):
    options = Options(ramp_s=0.3, way=way, carries="inspire")
    emulator = Emulator(ADDRESS, "left", options)
    emulator.plant.place(HOME["left"])
    emulator.start()
    driver = Driver(ADDRESS, "left", options)
    raised = HOME["left"].copy()
    raised[:2] = (-0.6, 1.0)
    # Stiffness alone would give way by five times as much as is allowed here.
    assert np.abs(held_up(Load(), raised)[:4]).max() / options.arm_kp > 5 * STILL_RAD
    driver.connect()
    stream(driver, raised)
    arrives(emulator, raised)
    state = driver.read()
    driver.disconnect()
    emulator.stop()
    assert state.effort is not None and state.effort[1] > 3.0


def test_the_waist_is_held_up_against_both_arms_raised_ahead():
    options = Options(ramp_s=0.3, carries="xhand")
    load = Load()
    ahead = np.zeros(wire.JOINTS)
    emulators, drivers = {}, {}
    for side in SIDES:
        load.take(side, "xhand")
        load.rise(1.0)
        ahead[wire.ARM[side]] = HOME[side]
        ahead[wire.ARM[side]][[0, 3]] = (-1.4, 1.4)
        emulators[side] = Emulator(ADDRESS, side, options)
        emulators[side].plant.place(HOME[side])
        emulators[side].start()
        drivers[side] = Driver(ADDRESS, side, options)
        drivers[side].connect()
    # Stiffness alone would let the waist pitch by more than is reported.
    assert abs(load.torques(ahead)[wire.WAIST][2]) / options.body_kp > WAIST_RAD
    for side, driver in drivers.items():
        stream(driver, ahead[wire.ARM[side]], 3.0)
    for side, driver in drivers.items():
        arrives(emulators[side], ahead[wire.ARM[side]])
        assert not driver.read().faults
    for side, driver in drivers.items():
        driver.disconnect()
        emulators[side].stop()


def test_an_arm_of_a_rig_carries_the_hand_that_the_rig_gives_it():
    rig = rig_file.load("g1_emulated")
    assert configured(rig, "left", "arm").options.carries == "inspire"


def test_the_weight_of_a_hand_that_comes_later_counts_little_by_little():
    load = Load()
    bare = held_up(load, HOME["left"])
    load.take("left", "inspire")
    np.testing.assert_array_equal(held_up(load, HOME["left"]), bare)
    load.rise(0.5)
    half = held_up(load, HOME["left"])
    load.rise(2.0)
    carrying = held_up(load, HOME["left"])
    np.testing.assert_allclose(half, (bare + carrying) / 2)
    assert carrying[1] > bare[1] + 0.2
    with pytest.raises(XlvlaError, match="unknown hand 'claw'"):
        load.take("left", "claw")


@pytest.mark.parametrize("way", ["arm_sdk", "lowcmd"])
def test_both_arms_follow_and_are_apart(emulators, way):
    options = Options(ramp_s=0.3, way=way)
    drivers = {side: Driver(ADDRESS, side, options) for side in SIDES}
    for driver in drivers.values():
        driver.connect()
    stream(drivers["left"], HOME["left"] + 0.2)
    sent = drivers["left"].write(dict(zip(drivers["left"].joints, HOME["left"] + 0.2, strict=True)))
    np.testing.assert_allclose(list(sent.values()), HOME["left"] + 0.2, atol=1e-6)
    arrives(emulators["left"], HOME["left"] + 0.2)
    np.testing.assert_allclose(emulators["right"].position, HOME["right"], atol=STILL_RAD)
    drivers["right"].disconnect()
    stream(drivers["left"], HOME["left"])
    arrives(emulators["left"], HOME["left"])
    np.testing.assert_allclose(emulators["right"].position, HOME["right"], atol=STILL_RAD)
    drivers["left"].disconnect()
    until(lambda: not socket_path(ADDRESS).exists(), "the server stays when nobody needs it")


def test_a_wild_target_is_reached_no_faster_than_the_options_allow(emulators, driver):
    target = HOME["left"] + 1.0
    with watched(emulators["left"]) as poses:
        began_s = time.monotonic()
        driver.write(dict(zip(driver.joints, target, strict=True)))
        arrives(emulators["left"], target)
        took_s = time.monotonic() - began_s
    assert took_s > 0.9 / OPTIONS.speed and np.abs(np.diff(poses, axis=0)).max() < 0.5


@pytest.mark.parametrize(
    ("fault", "count"),
    [("bad_checksum", "corrupt"), ("duplicated", "duplicated"), ("late", "late")],
)
def test_frames_gone_wrong_are_counted_and_survived(emulators, driver, fault, count):
    before = driver.read() and driver.counts[count]
    emulators["left"].inject(fault)
    stream(driver, HOME["left"] + 0.1)
    assert driver.counts[count] > before
    emulators["left"].inject(fault, False)
    arrives(emulators["left"], HOME["left"] + 0.1)


@pytest.mark.parametrize("silence_s", [pytest.param(0.0, marks=pytest.mark.long), 1.5])
def test_a_silent_robot_is_missed_in_time_and_taken_up_again_without_a_jump(
    emulators, driver, silence_s
):
    away = HOME["left"] + 0.3
    stream(driver, away)
    arrives(emulators["left"], away)
    with watched(emulators["left"]) as poses:
        emulators["left"].inject("unplug")
        silent_s = time.monotonic()
        until(lambda: lost(driver), "the silence goes unnoticed")
        assert time.monotonic() - silent_s < 3.0
        time.sleep(silence_s)
        emulators["left"].inject("unplug", False)
        driver.disconnect()
        until(lambda: connected(driver), "it is not taken up again")
    np.testing.assert_allclose(poses, np.tile(away, (len(poses), 1)), atol=3 * STILL_RAD)
    stream(driver, HOME["left"])
    arrives(emulators["left"], HOME["left"])


def test_a_server_that_dies_is_a_lost_link_and_its_successor_moves_nothing(emulators, driver):
    away = HOME["left"] + 0.3
    stream(driver, away)
    arrives(emulators["left"], away)
    with watched(emulators["left"]) as poses:
        os.kill(int(socket_path(ADDRESS).with_suffix(".lock").read_text()), signal.SIGKILL)
        until(lambda: lost(driver), "its end goes unnoticed")
        driver.disconnect()
        until(lambda: connected(driver), "there is no successor")
    np.testing.assert_allclose(poses, np.tile(away, (len(poses), 1)), atol=3 * STILL_RAD)


def test_a_motor_error_stops_its_arm_and_heat_is_told(emulators, driver):
    emulators["left"].inject("over_temperature")
    until(
        lambda: [
            f
            for f in driver.read().faults
            if (f.code, f.joint, f.stops) == ("hot", "elbow_joint", False)
        ],
        "nobody tells of the heat",
    )
    assert driver.read().temperature["elbow_joint"] == 95
    emulators["left"].inject("over_temperature", False)
    emulators["left"].inject("over_current")
    until(
        lambda: [
            f
            for f in driver.read().faults
            if (f.code, f.joint, f.stops) == ("0x2", "elbow_joint", True)
        ],
        "nobody tells of the error",
    )
    driver.write(dict(zip(driver.joints, HOME["left"] + 0.2, strict=True)))
    with pytest.raises(XlvlaError, match="elbow_joint its motor reports an error"):
        driver.recover()
    np.testing.assert_allclose(emulators["left"].position, HOME["left"], atol=STILL_RAD)
    emulators["left"].inject("over_current", False)
    until(lambda: not driver.read().faults, "the error stays")
    assert "held where it is" in driver.recover()
    np.testing.assert_allclose(emulators["left"].position, HOME["left"], atol=STILL_RAD)


def test_another_arm_with_other_options_and_the_same_arm_twice_are_refused(driver):
    with pytest.raises(XlvlaError, match="give both the same"):
        Driver(ADDRESS, "right", Options(ramp_s=0.4)).connect()
    with pytest.raises(XlvlaError, match="driven by another process"):
        Driver(ADDRESS, "left", OPTIONS).connect()


def test_a_network_interface_that_is_not_there_is_one_clear_line():
    with pytest.raises(XlvlaError, match=r"no DDS on network interface 'nosuch0', domain 5"):
        Driver("nosuch0@5", "left", OPTIONS).connect()


def test_a_robot_that_somebody_else_commands_is_not_commanded(emulators):
    with subprocess.Popen(
        [sys.executable, str(PEER), str(DOMAIN), "rival"], stdout=subprocess.PIPE
    ) as rival:
        assert rival.stdout is not None and rival.stdout.readline()
        with pytest.raises(XlvlaError, match="another program writes rt/arm_sdk"):
            Driver(ADDRESS, "left", OPTIONS).connect()
        rival.kill()
    assert "taken" not in emulators["left"].counts


@pytest.mark.parametrize(
    ("mode", "line"),
    [
        (4, r"this G1 has 23 joints \(mode_machine 4\)"),
        (9, r"this G1 says mode_machine 9, known with 29 joints are 5, 6, 11, 12"),
    ],
)
def test_a_robot_with_other_joints_or_of_unknown_firmware_is_named_and_not_commanded(mode, line):
    address = f"lo@{DOMAIN + 1}"
    with subprocess.Popen(
        [sys.executable, str(PEER), str(DOMAIN + 1), "robot", str(mode)]
    ) as robot:
        try:
            with pytest.raises(XlvlaError, match=line):
                Driver(address, "left", OPTIONS).connect()
        finally:
            robot.kill()


MOVES = """
import sys, time
import numpy as np
from xlvla.ros import priority
from xlvla_drivers.arms import g1
from xlvla_drivers.arms.g1 import Driver, Options
priority.hasten()
g1.LINK_TIMEOUT_S = 0.8
driver = Driver(sys.argv[1], "left", Options(ramp_s=0.3))
driver.connect()
start = driver.read().position
print("moves", flush=True)
began_s = time.monotonic()
while True:
    target = start.copy()
    # To 2 rad/s within 0.4 s, which the arm's acceleration allows.
    passed_s = time.monotonic() - began_s
    gained_s = min(passed_s, 0.4)
    target[3] += min(2.5 * gained_s**2 + 2.0 * (passed_s - gained_s), 1.5)
    driver.write(dict(zip(driver.joints, target.tolist())))
    driver.read()
    time.sleep(0.005)
"""


def test_an_arm_whose_driver_is_killed_in_motion_brakes(emulators):
    process = subprocess.Popen(
        [sys.executable, "-c", MOVES, ADDRESS], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "moves\n"
        until(
            lambda: emulators["left"].position[3] > HOME["left"][3] + 0.5, "the arm does not move"
        )
        killed_at = emulators["left"].position[3]
    finally:
        process.kill()
        process.wait()
    time.sleep(0.6)
    rests_at = emulators["left"].position[3]
    time.sleep(0.2)
    assert abs(emulators["left"].position[3] - rests_at) < STILL_RAD
    # Its way from 2 rad/s is 0.1 rad at the arm's acceleration.
    assert 0.07 < rests_at - killed_at < 0.4, "it stopped in one step, or late"
