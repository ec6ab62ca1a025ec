"""`xlvla emulate`: one emulated device in a terminal, and what it says to a wrong word."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

import command_line
from xlvla_drivers.device import LinkLost
from xlvla_drivers.hands.ability import Driver, Options

WAIT_S = 60.0


def command(*words, **more):
    return [sys.executable, "-c", "from xlvla_cli.app import main; main()", *words]


@pytest.fixture
def hand(tmp_path):
    """The address of an emulated hand and somebody who types at its terminal."""
    address = str(tmp_path / "hand")
    process = subprocess.Popen(
        command(
            "emulate", "ability", "--side", "left", "--address", address, "--option", "baud=115200"
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield address, process
    process.terminate()
    assert process.wait(timeout=WAIT_S) == 0


def until(true):
    give_up = time.monotonic() + WAIT_S
    while not (value := true()):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return value


def connected(driver):
    try:
        driver.connect()
    except LinkLost:
        return False
    return True


def test_a_driver_finds_the_device_and_a_typed_fault_breaks_it(hand):
    address, process = hand
    driver = Driver(address, "left", Options(baud=115200))
    until(lambda: connected(driver))
    assert np.isfinite(driver.read().position).all()
    process.stdin.write("bogus\nunplug\n")
    process.stdin.flush()

    def gone():
        try:
            driver.read()
        except LinkLost:
            return True
        return False

    until(gone)
    process.stdin.write("unplug off\n")
    process.stdin.flush()
    until(lambda: connected(driver))
    driver.disconnect()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["emulate", "abilty"], "did you mean 'ability'"),
        (["emulate", "ability", "--side", "lft"], "did you mean 'left'"),
        (["emulate", "ability", "--option", "baudd=1"], "did you mean 'baud'"),
        (["inject", "left", "hand", "unplug", "maybe"], "a fault is 'on' or 'off'"),
        (["bench", "faults", "--device", "inspier"], "did you mean 'inspire'"),
        (["bench", "faults", "--device", "webxr"], "unknown emulated device 'webxr'"),
        (["bench", "faults", "--fault", "stal"], "did you mean 'stall'"),
    ],
)
def test_a_wrong_word_is_one_line(words, line):
    ended = command_line.run(*words)
    assert ended.returncode == 2
    assert line in ended.stderr and len(ended.stderr.strip().splitlines()) == 1
