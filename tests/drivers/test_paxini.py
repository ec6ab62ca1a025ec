"""The DexH13's driver and the process of its SDK, against the emulated hand and the SDK's
stand-in.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from emulated_pair import Pair, closing, leisurely, patient

import xlvla_drivers.hands.paxini_server
from xlvla.errors import XlvlaError
from xlvla_drivers import registry
from xlvla_drivers.device import LINK_TIMEOUT_S, LinkLost
from xlvla_drivers.emulators import paxini_sdk
from xlvla_drivers.emulators.paxini import Emulator
from xlvla_drivers.hands import server_link
from xlvla_drivers.hands.paxini import DIP, MODULES, PIP, Driver, Options

SERVER = Path(xlvla_drivers.hands.paxini_server.__file__)


pytestmark = pytest.mark.usefixtures("hastened")

leisure = leisurely(server_link, "LINK_TIMEOUT_S")


def connected(folder, side="right", **options):
    return Pair(Emulator, Driver, folder / "hand", side, Options(**options))


pair = closing(connected)


def pose(driver, value=0.3):
    return dict.fromkeys(driver.joints, value)


def servers():
    """Processes of the SDK that were started here."""
    own = os.getpid()
    children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
    return [
        int(child)
        for child in children
        if SERVER.name.encode() in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


@pytest.mark.parametrize("unit", ["radian", "degree"])
def test_a_hand_goes_where_it_is_told_and_says_so(pair, unit):
    hand = pair(unit=unit)
    target = {name: 0.02 * i for i, name in enumerate(hand.driver.joints, 1)}
    sent = patient(hand.driver.write, target)
    wanted = np.array(list(sent.values()))
    state = hand.read_until(lambda state: np.allclose(state.position, wanted, atol=1e-3))
    assert np.allclose(hand.emulator.position, wanted, atol=1e-3)
    assert abs(time.time_ns() - state.stamp_ns) < 1e9


def test_the_last_joints_follow_the_middle_ones_by_the_ratio(pair):
    hand = pair(dip_ratio=0.5)
    sent = np.array(list(patient(hand.driver.write, pose(hand.driver)).values()))
    assert np.allclose(sent[PIP], 0.3) and np.allclose(sent[DIP], 0.15) and sent[15] == 0.3
    hand.read_until(lambda state: np.allclose(state.position, sent, atol=1e-3))


def test_the_motors_are_enabled_by_the_first_target_and_disabled_in_the_end(pair):
    hand = pair()
    patient(hand.driver.read)
    assert not hand.emulator.enabled
    patient(hand.driver.write, pose(hand.driver))
    hand.read_until(lambda state: state.position[1] > 0.2)
    assert hand.emulator.enabled
    hand.driver.disconnect()
    assert not hand.emulator.enabled


def test_the_skin_is_reported_by_module_in_newtons(pair):
    hand = pair(detail=True)
    hand.emulator.contact[MODULES.index("thumb_tip")] = (1.0, -2.0, 30.0)
    state = hand.read_until(
        lambda state: state.tactile.get("points") is not None and state.tactile["thumb_tip"][2] > 0
    )
    assert (
        np.allclose(state.tactile["thumb_tip"], (0.1, -0.2, 3.0))
        and not state.tactile["index_tip"].any()
    )
    assert state.tactile["points"].shape == (1140, 3)
    assert hand.read_until(lambda state: state.temperature).temperature["ring_tip"] == 33.0


def test_a_fault_is_reported_and_cleared_where_the_hand_is(pair):
    hand = pair()
    hand.emulator.inject("stall")
    patient(hand.driver.write, pose(hand.driver))
    state = hand.read_until(lambda state: state.faults)
    assert (state.faults[0].code, state.faults[0].text) == ("5", "motor fault at index 2")
    hand.read_until(lambda state: state.tactile and state.tactile["index_tip"][2] > 0)
    hand.emulator.inject("stall", False)
    assert "cleared" in patient(hand.driver.recover)
    hand.read_until(lambda state: not state.faults)
    time.sleep(0.1)
    assert abs(hand.emulator.position[1]) < 0.05


def test_a_fault_that_remains_is_told(pair):
    hand = pair()
    hand.emulator.inject("over_temperature")
    hand.read_until(lambda state: state.faults)
    with pytest.raises(XlvlaError, match="motor fault at thumb 11"):
        patient(hand.driver.recover)


def test_a_hand_of_the_other_side_is_refused(pair, tmp_path):
    hand = pair()
    hand.driver.disconnect()
    with pytest.raises(XlvlaError, match="is a right one, the rig has it as the left hand"):
        patient(Driver(hand.address, "left", Options()).connect)


def lost_after_s(hand):
    began_s = time.monotonic()
    with pytest.raises(LinkLost) as lost:
        while time.monotonic() - began_s < 5.0:
            hand.driver.read()
    assert str(lost.value)
    return time.monotonic() - began_s


def test_a_crash_of_the_sdk_is_a_lost_link_and_a_new_process_mends_it(pair):
    hand = pair()
    patient(hand.driver.read)
    hand.emulator.inject("crash")
    assert lost_after_s(hand) < 30 * LINK_TIMEOUT_S
    hand.emulator.inject("crash", False)
    patient(hand.driver.connect)
    patient(hand.driver.read)


def test_a_hand_that_falls_silent_is_lost_in_time_and_found_again(pair):
    hand = pair()
    patient(hand.driver.read)
    hand.emulator.inject("unplug")
    assert lost_after_s(hand) < 30 * LINK_TIMEOUT_S
    hand.emulator.inject("unplug", False)
    patient(hand.driver.connect)
    patient(hand.driver.read)


def test_a_process_that_hangs_is_a_lost_link_and_is_ended(pair):
    hand = pair()
    patient(hand.driver.read)
    (server,) = servers()
    os.kill(server, signal.SIGSTOP)
    assert lost_after_s(hand) < 30 * LINK_TIMEOUT_S
    hand.driver.disconnect()
    assert not servers()


def test_a_slow_sdk_delays_states_but_not_the_driver(pair):
    hand = pair()
    hand.emulator.inject("late")
    for step in range(10):
        began_s = time.monotonic()
        patient(hand.driver.write, pose(hand.driver, 0.01 * step))
        assert time.monotonic() - began_s < 30 * LINK_TIMEOUT_S
        patient(hand.driver.read)
    hand.read_until(lambda state: np.allclose(state.position, 0.09, atol=1e-3))
    hand.read_until(lambda _: hand.driver.counts["late"] > 0)


def test_a_missing_python_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("XLVLA_PXDEX_PYTHON", "python-of-nobody")
    with pytest.raises(XlvlaError, match=r"options\.python must be a Python 3\.10"):
        Driver(str(tmp_path / "hand"), "right", Options()).connect()


@pytest.mark.parametrize("python", ["/tmp/anything", "bash", "python3.10 -c 1", "../python3"])
def test_a_rig_names_no_program_but_python(python):
    with pytest.raises(XlvlaError, match=r"python is a command such as python3\.10"):
        Options(python=python)


def test_a_missing_sdk_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setenv("XLVLA_PXDEX_PYTHON", sys.executable)
    with pytest.raises(XlvlaError, match=r"No module named 'pxdex'.*options\.python") as told:
        Driver(str(tmp_path / "hand"), "right", Options()).connect()
    assert not isinstance(told.value, LinkLost)  # trying again is of no use


@pytest.mark.parametrize("options", [{"rate_hz": 5.0}, {"max_speed": 30000}, {"dip_ratio": -1.0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(XlvlaError, match=rf"hand\.{next(iter(options))}: must be from"):
        registry.options("hand", "paxini", options, "hand")


def test_the_server_and_the_stand_in_need_no_package(pair):
    """Isolated and without site-packages, as another Python would run them."""
    hand = pair()
    hand.driver.disconnect()
    ours, theirs = socket.socketpair()
    command = [
        sys.executable,
        "-I",
        "-S",
        str(SERVER),
        "--sdk",
        paxini_sdk.__file__,
        hand.address,
        str(theirs.fileno()),
    ]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process, ours:
        theirs.close()
        lines = ours.makefile("r")
        assert json.loads(lines.readline()) == {"ready": "right"}
        assert len(json.loads(lines.readline())["state"]["position"]) == 16
        lines.close()
        ours.shutdown(socket.SHUT_RDWR)
        process.wait(5.0)
