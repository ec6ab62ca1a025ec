"""What stops a Unitree G1 that is driven, and how its arms are then given back: by a weight that
falls, never in a step.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

if (
    importlib.util.find_spec("cyclonedds") is None
):  # not imported here: rclpy may be in this process
    pytest.skip("cyclonedds is not installed", allow_module_level=True)

from xlvla.errors import XlvlaError
from xlvla.types import SIDES
from xlvla_cli.bench import faults
from xlvla_cli.bench.given_back import given_back
from xlvla_drivers.arms import g1_frames as wire
from xlvla_drivers.arms import g1_remote
from xlvla_drivers.arms.g1 import Driver, Options, socket_path
from xlvla_drivers.emulators.g1 import Emulator
from xlvla_drivers.emulators.g1_motors import MotorLaw, Motors

pytestmark = pytest.mark.usefixtures("hastened")

ADDRESS = f"lo@{101 + os.getpid() % 100}"
OPTIONS = Options(ramp_s=0.5)
STEEPEST = 2.5 / (OPTIONS.ramp_s * OPTIONS.rate_hz)
"""Change of the weight from one command to the next; one may be missed."""
HOME = np.array([0.1, 0.3, 0.1, 0.5, 0.1, 0.1, 0.1])
SOON_S = 60.0


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A machine that runs many tests at once makes anybody wait."""
    monkeypatch.setattr("xlvla_drivers.arms.g1.LINK_TIMEOUT_S", 0.8)
    monkeypatch.setattr("xlvla_drivers.arms.g1.ANSWERED_S", 0.4)


@pytest.fixture
def emulator():
    made = Emulator(ADDRESS, "left", OPTIONS)
    made.plant.place(HOME)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def driver(emulator):
    made = Driver(ADDRESS, "left", OPTIONS)
    made.connect()
    yield made
    made.disconnect()


def until(true, otherwise):
    give_up_s = time.monotonic() + SOON_S
    while not (value := true()):
        assert time.monotonic() < give_up_s, otherwise
        time.sleep(0.01)
    return value


def fault(driver, code):
    return next((fault for fault in driver.read().faults if fault.code == code), None)


# the remote's bytes


def test_keys_of_the_remote_are_bits_in_the_order_of_its_struct():
    remote = np.zeros(40, "u1")
    assert not g1_remote.is_heard(remote)
    remote[2:4] = (0x02, 0x01)  # L1 and A
    assert g1_remote.is_heard(remote)
    among = g1_remote.combinations(["L2+B", "L1+A"])
    assert g1_remote.pressed(remote, among) == "L1+A"
    remote[3] = 0x00
    assert g1_remote.pressed(remote, among) == ""


def test_a_key_that_no_remote_has_is_refused_by_name():
    with pytest.raises(XlvlaError, match="unknown key of a G1's remote 'Z'"):
        Options(remote_stops=("L1+Z",))


# what is told


def test_battery_and_a_remote_that_is_lost_are_told(emulator, driver):
    facts = until(
        lambda: "battery [%]" in driver.read().facts and driver.read().facts, "no battery"
    )
    assert facts["battery [%]"] == "80" and facts["battery [V]"] == "52.0"
    assert facts["remote"] == "heard" and facts["weight of commands"] == "1.00"
    emulator.inject("battery_low")
    emulator.inject("remote_lost")
    low = until(lambda: fault(driver, "battery"), "nobody tells of the battery")
    lost = until(lambda: fault(driver, "remote"), "nobody tells of the remote")
    assert (low.text, low.stops, lost.stops) == ("its battery has 8 %", False, False)
    emulator.inject("remote_lost", False)
    until(lambda: not fault(driver, "remote"), "the remote stays lost")


# stops


@pytest.mark.parametrize(
    ("cause", "named"), [("remote_stop", "L1+A on its remote"), ("other_mode", "mode_machine, 9")]
)
def test_a_robot_that_stops_itself_has_its_arms_back_until_it_is_recovered(
    emulator, driver, cause, named
):
    emulator.watch()
    emulator.inject(cause)
    stopped = until(lambda: fault(driver, "stopped"), "the stop goes unnoticed")
    assert named in stopped.text and stopped.stops
    until(lambda: driver.read().facts["weight of commands"] == "0.00", "the weight stays")
    with pytest.raises(XlvlaError, match="end that first"):
        driver.recover()
    emulator.inject(cause, False)
    assert fault(driver, "stopped"), "it came back by itself"
    seen = emulator.witnessed
    assert seen["weight"] == 0 and seen["steepest"] < STEEPEST
    emulator.watch()
    assert "taken over again" in driver.recover()
    until(lambda: not driver.read().faults, "it is not taken over again")
    # The last command is on its way when the driver knows of it.
    until(lambda: emulator.witnessed["weight"] == 1, "the robot does not hear of it")
    seen = emulator.witnessed
    assert seen["steepest"] < STEEPEST and seen["moved_rad"] < 0.02


def test_a_driver_that_comes_while_the_robot_is_stopped_is_told_so(emulator, driver):
    emulator.inject("remote_stop")
    until(lambda: fault(driver, "stopped"), "the stop goes unnoticed")
    with pytest.raises(XlvlaError, match=r"stopped by L1\+A on its remote"):
        Driver(ADDRESS, "right", OPTIONS).connect()
    emulator.inject("remote_stop", False)


@pytest.mark.parametrize("way", ["arm_sdk", pytest.param("lowcmd", marks=pytest.mark.long)])
def test_a_server_that_is_told_to_end_lets_the_arms_go_little_by_little(way):
    options = Options(ramp_s=0.5, way=way)
    emulator = Emulator(ADDRESS, "left", options)
    emulator.plant.place(HOME)
    emulator.start()
    driver = Driver(ADDRESS, "left", options)
    driver.connect()
    try:
        emulator.watch()
        server = int(socket_path(ADDRESS).with_suffix(".lock").read_text())
        os.kill(server, signal.SIGTERM)
        until(lambda: not socket_path(ADDRESS).exists(), "the server does not end")
        seen = emulator.witnessed
        assert seen["commands"] > 50
        if way == "arm_sdk":
            assert seen["weight"] == 0 and seen["steepest"] < STEEPEST
        else:
            assert seen["stiffness"] == 0
    finally:
        driver.disconnect()
        emulator.stop()


def test_a_successor_holds_the_hands_that_arms_carry_from_its_first_command_on():
    options = Options(ramp_s=0.5, carries="xhand")
    emulator = Emulator(ADDRESS, "left", options)
    emulator.plant.place(HOME)
    emulator.start()
    driver = Driver(ADDRESS, "left", options)
    driver.connect()
    time.sleep(1.0)
    try:
        emulator.watch()
        os.kill(int(socket_path(ADDRESS).with_suffix(".lock").read_text()), signal.SIGKILL)
        driver.disconnect()
        driver.connect()
        seen = until(lambda: (w := emulator.witnessed)["commands"] > 50 and w, "no successor")
        assert seen["weight"] == 1 and seen["moved_rad"] < 0.005 and seen["fastest_rad_s"] < 0.1
    finally:
        driver.disconnect()
        emulator.stop()


def test_a_garbled_robot_is_commanded_no_more_and_keeps_its_weight(emulator, driver):
    emulator.inject("garbled")

    def lost():
        try:
            driver.read()
        except XlvlaError:
            return True
        return False

    until(lost, "garbled states are believed")
    seen = until(
        lambda: (w := emulator.witnessed)["silent_s"] > 0.3 and w, "it is commanded blindly"
    )
    assert seen["weight"] == 1
    emulator.inject("garbled", False)


# the emulated body


def test_motors_give_by_torque_over_stiffness_and_fall_where_they_are_let_go():
    motors = Motors(dict.fromkeys(SIDES, "none"), 0.002)
    pose = np.zeros(wire.JOINTS)
    pose[wire.ARM["left"]] = HOME
    motors.place(pose)
    still = np.zeros(wire.JOINTS)
    kp = np.full(wire.JOINTS, 60.0)
    kd = np.full(wire.JOINTS, 4.0)
    for _ in range(2000):
        motors.step(MotorLaw(pose, still, still, kp, kd))
    given = (pose - motors.position)[wire.ARM["left"]]
    held = (motors.weight() / kp)[wire.ARM["left"]]
    np.testing.assert_allclose(given, held, atol=1e-3)
    np.testing.assert_allclose(motors.torque, motors.weight(), atol=0.05)
    elbow = wire.ARM["left"].start + 3
    before = motors.position[elbow]
    for _ in range(200):
        motors.step(MotorLaw(pose, still, still, still, kd / 4))
    assert abs(motors.position[elbow] - before) > 0.1


def test_the_robots_own_torques_and_ours_are_blended_by_weight():
    ours = MotorLaw(*(np.array([value]) for value in (1.0, 0.0, 2.0, 60.0, 1.0)))
    own = MotorLaw(*(np.array([value]) for value in (0.0, 0.5, 4.0, 20.0, 3.0)))
    here, moves = 0.3, 0.2

    def torque(law):
        return law.tau + law.kp * (law.q - here) + law.kd * (law.dq - moves)

    for share in (0.0, 0.3, 1.0):
        blended = torque(ours.blended(own, np.array([share])))
        np.testing.assert_allclose(blended, share * torque(ours) + (1 - share) * torque(own))


@pytest.mark.long
@pytest.mark.parametrize("cause", ["stop on the remote", "driver killed"])
def test_the_bench_shows_how_a_swinging_arm_is_given_back(cause):
    (row,) = given_back(faults.rig_with("arm", "g1"), iter([cause]))
    assert not row.wrong
    assert row.curve[0][1] == 1 and row.weight == 0 and row.moved_rad > 0.02


KILLED = """
import sys, time
from xlvla_drivers.arms import g1
from xlvla_drivers.arms.g1 import Driver, Options
driver = Driver(sys.argv[1], "left", Options(ramp_s=0.5))
driver.connect()
print("driven", flush=True)
time.sleep(600)
"""


@pytest.mark.long
def test_the_arms_of_a_killed_driver_are_held_and_then_given_back(emulator):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, ADDRESS], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "driven\n"
    emulator.watch()
    process.kill()
    process.wait()
    time.sleep(1.0)
    assert emulator.witnessed["weight"] == 1
    until(lambda: not socket_path(ADDRESS).exists(), "its arms stay taken")
    seen = emulator.witnessed
    assert seen["weight"] == 0 and seen["steepest"] < STEEPEST and seen["moved_rad"] < 0.02
