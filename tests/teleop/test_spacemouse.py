"""A SpaceMouse: the newest report counts, and a cap that is let go stops the wrist."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from stand_in_spacemouse import KEPT, STILL, Device, first_generation, second_generation

from xlvla_drivers.device import LinkLost
from xlvla_drivers.teleop.spacemouse import Driver, Options

GENERATIONS = (first_generation, second_generation)


@pytest.fixture(params=GENERATIONS)
def mouse(request, monkeypatch):
    """The source, open at a path, and the device that it reads."""
    device = Device()
    monkeypatch.setitem(sys.modules, "pyspacemouse", request.param(device))
    source = Driver("/dev/hidraw0", ("left", "right"), Options(), None)
    source.open()
    yield source, device
    source.close()


def sample(source):
    """The next sample."""
    for _ in range(1000):
        found = source.read(0.05)
        if found is not None:
            return found
    raise AssertionError("no sample came")


def wrist(source) -> np.ndarray:
    return sample(source).sides["right"].T_world_wrist


def test_a_cap_that_is_let_go_rests_the_wrist_whatever_waits_in_the_queue(mouse):
    source, device = mouse
    for _ in range(5):
        device.send(y=1.0, yaw=1.0)
        moved = wrist(source)
    assert moved[0, 3] > 0
    # What the device sent while nobody looked, and the reports of letting go at its end.
    for _ in range(KEPT):
        device.send(y=1.0, yaw=1.0)
    device.send(**STILL)
    for _ in range(20):
        np.testing.assert_allclose(wrist(source), moved, atol=1e-12)


def test_the_wrist_goes_on_while_the_cap_stays_pushed_and_nothing_new_is_sent(mouse):
    source, device = mouse
    device.send(y=0.5)
    places = [wrist(source)[0, 3] for _ in range(5)]
    assert (np.diff(places) > 0).all()


def test_every_press_of_a_button_counts_also_of_one_released_before_anybody_looked(mouse):
    source, device = mouse
    sample(source)
    device.send(buttons=[0, 1])
    device.send(buttons=[0, 0])
    device.send(buttons=[0, 1])
    device.send(buttons=[0, 0])
    assert sample(source).buttons == ("clutch", "clutch")
    assert sample(source).buttons == ()


def test_a_mouse_that_is_unplugged_is_a_lost_link(mouse):
    source, device = mouse
    device.gone = True
    with pytest.raises(LinkLost, match="the SpaceMouse is gone: No such device"):
        sample(source)
