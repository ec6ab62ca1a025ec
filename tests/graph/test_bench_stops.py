"""A running rig that is stopped while it moves comes to rest within limits, and keeps its distance
from the table whatever it is asked.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from xlvla import rig_file
from xlvla.kinematics import Kinematics
from xlvla.robot import rig_description
from xlvla.run import interruptible, own_domain
from xlvla.types import SIDES, scoped
from xlvla_cli.bench.adversary.fixed import FIXED
from xlvla_cli.bench.adversary.trial import ALLOWED_M
from xlvla_cli.bench.ros import stops
from xlvla_cli.bench.ros.harm_trial import HarmTrial
from xlvla_cli.bench.ros.running_rig import RunningRig
from xlvla_cli.bench.ros.stop_trial import StopTrial, outward_joint


@pytest.fixture(scope="module")
def emulated():
    """One arm and hand: two cannot be emulated in real time on every machine that runs tests."""
    rig = rig_file.load("bimanual_emulated")
    one_arm = dataclasses.replace(rig, sides={"left": rig.sides["left"]})
    with interruptible(), RunningRig(one_arm, own_domain()) as running:
        yield running


@pytest.mark.parametrize(
    "stop",
    [stops.REENGAGE, stops.HALT_MOTION, stops.SIGTERM, stops.SIGKILL],
    ids=lambda stop: stop.name,
)
def test_an_arm_that_moves_fast_comes_to_rest_within_limits(emulated, stop):
    row = StopTrial(emulated).row(stop, "fast")
    assert not row.faults
    assert row.last_speed > 1 or stop.ends == "rest", "it did not move"


def test_an_arm_of_a_running_rig_that_is_sent_to_the_table_keeps_its_distance(emulated):
    fixed = [
        entry for entry in FIXED if entry.name == "left joint2 by 1 rad to the table in 10 frames"
    ]
    (harmed,) = HarmTrial(emulated).fixed(fixed)
    assert harmed.commanded.room_m < 0.01, "it did not come near the table"
    assert harmed.breach.below_m <= ALLOWED_M


@pytest.mark.long
def test_a_humanoid_comes_to_rest_within_limits_and_both_its_arms_are_lost_at_once():
    with interruptible(), RunningRig(rig_file.load("g1_emulated"), own_domain()) as running:
        trial = StopTrial(running)
        for stop in (stops.ESTOP, stops.SIGKILL, stops.UNPLUG):
            row = trial.row(stop, "both")
            assert not row.faults, stop.name


@pytest.mark.parametrize("name", ["bimanual", "g1", "bimanual_gen3"])
def test_the_joint_that_is_tried_brings_the_hand_outwards(name):
    rig = rig_file.load(name)
    for side, sign in zip(SIDES, (1, -1), strict=True):
        names = rig.joint_names(side, "arm")
        flange = scoped(side, "arm", rig.arm(side).flange)
        kinematics = Kinematics(rig_description(rig), names)
        home = np.array([rig.start(side)[name] for name in names])
        joint, outwards = outward_joint(rig, side)
        turned = home.copy()
        turned[joint] += 0.1 * outwards
        across = [kinematics.fk(pose, [flange])[flange][1, 3] for pose in (home, turned)]
        assert sign * (across[1] - across[0]) > 0.01
