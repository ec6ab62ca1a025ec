"""The simulated humanoid: one body before a table, motors that give and that carry the robot."""

import dataclasses

import numpy as np
import pytest

from xlvla import rig_file
from xlvla.humanoid import in_rig
from xlvla.types import SIDES
from xlvla_sim.world import World

G1 = rig_file.load("g1")
SHOULDER = "left_arm_shoulder_pitch_joint"


@pytest.fixture
def world():
    return World(G1, render=False)


def pushed(world, body, force, seconds):
    """Lets time pass while a force [3] N acts on a body."""
    row = world.model.body(body).id
    for _ in range(round(seconds / world.model.opt.timestep)):
        world.data.xfrc_applied[row, :3] = force
        world.step(world.model.opt.timestep)
    world.data.xfrc_applied[row, :3] = 0


def test_a_humanoid_left_alone_stands_still_and_holds_its_arms(world):
    before = {key: world.joint_state(*key)[0].copy() for key in G1.parts}
    world.step(2.0)
    for key, positions in before.items():
        assert np.abs(world.joint_state(*key)[0] - positions).max() < 0.01
    waist = [world.data.joint(in_rig(name)).qpos[0] for name in G1.body.waist]
    assert np.abs(waist).max() < 0.01


def test_its_motors_are_springs_of_the_stiffness_they_are_given(world):
    arm = world.rig.arm("left")
    stiffness = dict(zip(arm.joints, arm.impedance.stiffness, strict=True))
    # Straight down on the wrist; the shoulder turns about y.
    before = world.data.joint(SHOULDER).qpos[0]
    pushed(world, "left_arm_wrist_yaw_link", (0, 0, -8.0), 2.0)
    turned = world.data.joint(SHOULDER).qpos[0] - before
    wrist = world.data.body("left_arm_wrist_yaw_link").xipos
    axis = world.data.joint(SHOULDER).xaxis
    torque = np.cross(wrist - world.data.joint(SHOULDER).xanchor, [0, 0, -8.0]) @ axis
    assert turned == pytest.approx(torque / stiffness["shoulder_pitch_joint"], rel=0.1)
    assert abs(turned) > 0.01


def test_what_hangs_on_an_arm_moves_the_waist_a_little_and_it_comes_back(world):
    for link in ("left_arm_wrist_yaw_link", "right_arm_wrist_yaw_link"):
        world.data.xfrc_applied[world.model.body(link).id, :3] = (0, 0, -8.0)
    world.step(2.0)
    pitch = world.data.joint("body_waist_pitch_joint")
    assert 0.005 < pitch.qpos[0] < 0.05
    world.data.xfrc_applied[:] = 0
    world.step(2.0)
    assert abs(pitch.qpos[0]) < 0.003


def test_a_motor_gives_no_more_than_its_torque_with_the_weight_it_carries(world):
    effort = G1.arm("left").limits.effort
    columns = [world.model.joint(name).dofadr[0] for name in G1.joint_names("left", "arm")]
    largest = np.zeros(len(columns))
    for _ in range(8):
        pushed(world, "left_arm_wrist_yaw_link", (0, 0, 400.0), 0.1)
        largest = np.maximum(largest, np.abs(world.data.qfrc_actuator[columns]))
    assert (largest <= effort + 1e-6).all()
    assert (largest / effort).max() > 0.95, "400 N are too much for some of them"


def test_an_arm_that_is_sent_into_the_torso_is_held_by_it(world):
    model, data = world.model, world.data
    into = {"shoulder_roll": -0.6, "elbow": 0.6, "shoulder_yaw": -0.9}
    goal = dict(
        zip(G1.joint_names("left", "arm"), world.joint_state("left", "arm")[0], strict=True)
    )
    goal |= {f"left_arm_{name}_joint": angle for name, angle in into.items()}
    world.command("left", "arm", goal)
    world.step(2.0)
    touching = model.geom_bodyid[data.contact.geom[: data.ncon]]
    pairs = [{model.body(one).name, model.body(two).name} for one, two in touching]
    torso = [pair - {in_rig("torso_link")} for pair in pairs if in_rig("torso_link") in pair]
    assert any(link.startswith("left_arm_") for others in torso for link in others)
    assert world.joint_state("left", "arm")[0][1] > into["shoulder_roll"] + 0.1


def test_the_table_begins_where_the_rig_has_it(world):
    near, far = world.state.table
    assert near[0] == pytest.approx(G1.humanoid.table_edge_m)
    document = dataclasses.asdict(rig_file.load("bimanual"))
    other = World(rig_file.from_document(document, "test"), render=False)
    assert other.state.table[0][0] == pytest.approx(-0.15) and far[0] == pytest.approx(0.85)
    floor = world.model.geom("floor").pos[2]
    soles = [world.data.body(in_rig(f"{side}_ankle_roll_link")).xpos[2] - 0.035 for side in SIDES]
    assert soles == pytest.approx([floor, floor], abs=0.005)
