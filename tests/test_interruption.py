"""A program that is told to end ends, whatever it does at that moment."""

from __future__ import annotations

import os
import signal
import time

import pytest

from xlvla.run import interruptible


class Interrupted:
    """Gets the signal while it is destroyed, where Python ignores what is raised."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def handlers():
    """An interrupted program keeps its handlers, because it is about to end."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_an_interruption_that_comes_while_an_object_is_destroyed_is_not_lost():
    seen = Interrupted()
    with pytest.raises(KeyboardInterrupt), interruptible():
        del seen
        time.sleep(10.0)
        raise AssertionError("goes on")


def test_a_second_signal_changes_nothing(capfd):
    with pytest.raises(KeyboardInterrupt), interruptible():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10.0)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
    assert "stopping: nodes get" in capfd.readouterr().err
