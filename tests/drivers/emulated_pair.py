"""An emulated device and its driver, for the tests of both."""

from __future__ import annotations

import contextlib
import time

import pytest

from xlvla_drivers.device import LinkLost


def patient(call, *args, seconds=10.0):
    """A loaded machine may starve the emulator for longer than a link may be silent."""
    until_s = time.monotonic() + seconds
    losses = 0
    while True:
        try:
            return call(*args)
        except LinkLost:
            if time.monotonic() > until_s:
                raise
            losses += 1
            time.sleep(0.02)
            if losses > 2:
                with contextlib.suppress(LinkLost):  # as the link of a node does
                    call.__self__.connect()


class Pair:
    """A started emulator and its connected driver."""

    def __init__(self, emulator, driver, address, side, options):
        self.address = str(address)
        self.options = options
        self.emulator = emulator(self.address, side, options)
        self.driver = driver(self.address, side, options)
        self.emulator.start()
        patient(self.driver.connect)

    def close(self):
        self.driver.disconnect()
        self.emulator.stop()

    def read_until(self, true, timeout_s=10.0):
        until_s = time.monotonic() + timeout_s
        while not true(state := patient(self.driver.read)):
            assert time.monotonic() < until_s, state
        return state


def leisurely(module, *names):
    """A fixture for a machine that runs tests and is no robot's: unless time is what is tested, a
    link may be silent for longer.
    """

    @pytest.fixture(autouse=True)
    def leisure(request, monkeypatch):
        if not any(word in request.node.name for word in ("late", "lost", "slow")):
            for name in names:
                monkeypatch.setattr(module, name, 5 * getattr(module, name))

    return leisure


def closing(make):
    """A fixture: `make(folder, *args, **options)` of a pair, which is closed when the test is
    over.
    """

    @pytest.fixture
    def pair(tmp_path):
        with contextlib.ExitStack() as made:
            yield lambda *args, **options: made.enter_context(
                contextlib.closing(make(tmp_path, *args, **options))
            )

    return pair
