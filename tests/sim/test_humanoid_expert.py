"""The scripted expert on a humanoid: the same plans, short arms that stay out of the body."""

import dataclasses
from functools import cache

import numpy as np
import pytest

from xlvla import rig_file
from xlvla.types import FIRST_EVALUATION_SEED, SIDES
from xlvla_drivers.motion.distance import Distances
from xlvla_sim.demonstration import demonstrate
from xlvla_sim.expert import Expert
from xlvla_sim.world import World

SEED = FIRST_EVALUATION_SEED + 1
PLAYED = [
    "pour_sauce",
    *(
        pytest.param(task, marks=pytest.mark.long)
        for task in ("hand_over_bottle", "pour_sugar", "prepare_fruits")
    ),
]


def rig(task):
    document = dataclasses.asdict(rig_file.load("g1"))
    document["sim"]["task"] = task
    return rig_file.from_document(document, "test")


@cache
def played(task, codec):
    g1 = rig(task)
    return demonstrate(World(g1, render=False), Expert(g1, codec), SEED, pictures=False)


@pytest.mark.parametrize("task", PLAYED)
def test_a_humanoid_does_the_papers_tasks(task, codec):
    assert played(task, codec).good


@pytest.mark.parametrize("task", PLAYED)
def test_its_elbows_stay_bent_and_beside_the_torso(task, codec):
    g1 = rig(task)
    for side in SIDES:
        names = g1.arm(side).joints
        actions = played(task, codec).script.actions[side]["arm"]
        elbow = actions[:, names.index("elbow_joint")]
        outwards = actions[:, names.index("shoulder_roll_joint")] * (1 if side == "left" else -1)
        assert elbow.max() < 1.42 and outwards.min() > 0.1


def test_where_it_cannot_be_the_commands_of_an_expert_are_not_in_the_body(codec):
    g1 = rig("pour_sauce")
    distances = Distances(g1)
    actions = played("pour_sauce", codec).script.actions
    poses = np.concatenate(
        [actions[side][part] for side in SIDES for part in ("arm", "hand")], axis=1
    )
    of_body = np.array([gap.first.startswith("body_") for gap in distances.gaps])
    assert min(distances.at(pose)[of_body].min() for pose in poses[::5]) > 0
