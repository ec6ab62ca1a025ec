"""Between the angles of a device's data sheet and those of the robot's description."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from xlvla import catalog
from xlvla.device import JointCalibration
from xlvla.errors import XlvlaError
from xlvla.rig import Rig, Station
from xlvla.rig_parts import ArmStation, HandStation
from xlvla_drivers.calibration import Calibration, command_limits
from xlvla_drivers.device import DeviceState


def crooked(lower=0.0):
    """A hand whose index finger counts backwards from another zero."""
    return Calibration(
        catalog.hand("inspire").joint_names("left"),
        {"index_proximal_joint": JointCalibration(-1.0, 1.2 + lower, 1.1)},
    )


def rig():
    return Rig("test", {"left": Station(ArmStation("xarm7"), HandStation("inspire"))}, sim=None)


def test_calibration_there_and_back_is_where_one_was_and_keeps_the_power():
    calibration = crooked()
    position = np.linspace(0.1, 1.0, 6)
    assert np.allclose(calibration.joint(calibration.device(position)), position)
    reported = DeviceState(
        0, position, velocity=np.linspace(-1, 1, 6), effort=np.linspace(0.5, 2, 6)
    )
    state = calibration.state(reported)
    assert np.allclose(state.position, calibration.joint(position))
    assert state.velocity is not None and state.effort is not None
    assert np.allclose(state.velocity * state.effort, reported.velocity * reported.effort)


def test_a_calibrated_device_is_never_sent_beyond_its_own_range_or_the_joints():
    calibration = crooked()
    limits = command_limits(rig(), "left", "hand", calibration)
    plain = catalog.hand("inspire").limits("left")
    for end in (limits.lower, limits.upper):
        device = calibration.device(end)
        assert (device >= plain.lower - 1e-12).all() and (device <= plain.upper + 1e-12).all()
        assert (end >= plain.lower).all() and (end <= plain.upper).all()
    assert (dataclasses.astuple(limits)[2] == plain.velocity).all()


def test_a_calibration_that_leaves_a_joint_no_angle_is_told():
    with pytest.raises(
        XlvlaError, match="left_hand_index_proximal_joint: its calibration leaves no angle"
    ):
        command_limits(rig(), "left", "hand", crooked(lower=9.0))
