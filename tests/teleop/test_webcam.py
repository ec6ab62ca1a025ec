"""A webcam: where a hand must be to look as it does, and what is said where its tracker is
missing.
"""

from __future__ import annotations

import importlib.util

import numpy as np
import pinocchio as pin
import pytest

from xlvla.errors import XlvlaError
from xlvla.pinhole import Pinhole
from xlvla_drivers.teleop.closing import closed
from xlvla_drivers.teleop.webcam import FACING, Driver, Options, seen


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("seed", range(5))
def test_a_hand_is_found_where_it_was_seen(side, seed):
    rng = np.random.default_rng(seed)
    lens = Pinhole.of_view(45.0, (640, 480)).matrix
    turn = pin.exp3(rng.normal(0, 0.5, 3))
    place = np.array([*rng.uniform(-0.1, 0.1, 2), rng.uniform(0.4, 0.8)])
    hand = closed(side, rng.random())
    camera = hand @ turn.T + place
    image = (camera @ lens.T)[:, :2] / camera[:, 2:]
    other = pin.exp3(rng.normal(0, 1.0, 3))
    found = seen(side, (hand - hand.mean(0)) @ other.T, image, lens)
    assert found is not None
    np.testing.assert_allclose(found.T_world_wrist[:3, 3], FACING @ place, atol=1e-4)
    np.testing.assert_allclose(found.T_world_wrist[:3, :3], FACING @ turn, atol=1e-3)


def test_who_sits_before_the_camera_moves_towards_it_forward():
    np.testing.assert_allclose(FACING @ [0.0, 0.0, -1.0], [1.0, 0.0, 0.0])
    assert np.linalg.det(FACING) == pytest.approx(1.0)


def test_what_is_missing_is_one_line(tmp_path):
    with pytest.raises(XlvlaError, match="is no file: download Google's model file"):
        Driver("", ("right",), Options(), None)
    (tmp_path / "hand_landmarker.task").touch()
    if importlib.util.find_spec("mediapipe") is None:
        with pytest.raises(XlvlaError, match="'mediapipe' is not installed: pip install mediapipe"):
            Driver("", ("right",), Options(model=str(tmp_path / "hand_landmarker.task")), None)
