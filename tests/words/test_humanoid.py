"""A rig whose arms are limbs of a humanoid: one body, where the rig puts it."""

import copy

import numpy as np
import pytest
import yaml

from xlvla import catalog, rig_file, solids, urdf
from xlvla.errors import RigError
from xlvla.humanoid import in_rig
from xlvla.kinematics import Kinematics
from xlvla.robot import humanoid_description, rig_description
from xlvla.types import SIDES, scoped

G1 = rig_file.load("g1")
DOCUMENT = yaml.safe_load(catalog.rigs()["g1"].read_text())
FOOT_M = 0.035
"""From a foot's ankle to its sole."""


def faults(change):
    document = copy.deepcopy(DOCUMENT)
    change(document)
    with pytest.raises(RigError) as caught:
        rig_file.from_document(document, "test")
    return caught.value.faults


@pytest.mark.parametrize("name", catalog.humanoids())
def test_a_humanoid_has_the_torso_the_waist_and_the_limbs_it_names(name):
    body = catalog.humanoid(name)
    joints = {joint.name for joint in body.description.free_joints}
    assert body.torso in body.description.links and set(body.waist) <= joints
    assert all(catalog.arm(limb).name == limb for limb in body.limbs)


def test_both_arms_stand_on_the_one_torso_of_the_rig():
    links = [link for link, _ in solids.of_robot(rig_description(G1))]
    assert in_rig("torso_link") in links and in_rig("head_link") in links
    for side in SIDES:
        assert scoped(side, "arm", "torso_link") not in links
        assert scoped(side, "arm", "elbow_link") in links


@pytest.mark.parametrize("side", SIDES)
def test_an_arm_of_a_humanoid_reaches_what_it_reaches_from_its_torso(side):
    arm = catalog.arm("g1").on(side)
    q = np.linspace(-0.4, 0.5, 7)
    alone = Kinematics(arm.urdf_model, arm.joints).fk(q, [arm.flange])[arm.flange]
    flange = scoped(side, "arm", arm.flange)
    torso = in_rig("torso_link")
    poses = Kinematics(rig_description(G1), G1.joint_names(side, "arm")).fk(q, [flange, torso])
    assert np.allclose(poses[torso] @ alone, poses[flange], atol=1e-9)
    # From the pelvis to the torso, as published.
    from_pelvis = np.array([-0.0039635, 0, 0.044])
    assert np.allclose(poses[torso][:3, 3], G1.humanoid.xyz + from_pelvis, atol=1e-6)


def test_only_arms_and_hands_move_and_the_waist_where_it_is_asked_to():
    moving = {joint.name for joint in rig_description(G1).description.free_joints}
    commanded = {name for key in G1.parts for name in G1.joint_names(*key)}
    assert moving == commanded
    gives = rig_description(G1, waist_gives=True).description
    waist = {in_rig(name) for name in catalog.humanoid("g1").waist}
    assert {joint.name for joint in gives.free_joints} == commanded | waist


def test_a_g1_is_as_high_as_its_entry_says():
    ankles = [in_rig(f"{side}_ankle_roll_link") for side in SIDES]
    poses = Kinematics(rig_description(G1), ()).fk(np.zeros(0), ankles)
    for ankle in ankles:
        sole = poses[ankle][2, 3] - FOOT_M
        assert G1.humanoid.xyz[2] - sole == pytest.approx(G1.body.stands_m, abs=0.005)
        assert np.allclose(poses[ankle][:3, :3], np.eye(3), atol=1e-3)


def test_a_rig_with_a_humanoid_survives_saving_and_loading(tmp_path):
    assert rig_file.load(G1.save(tmp_path / "saved.yaml")) == G1


def test_what_is_no_limb_of_a_humanoid_is_refused_by_name():
    def change(document):
        document["sides"]["left"]["arm"] = {"type": "xarm7"}

    assert list(faults(change)) == [
        "test: sides.left.arm.type: xarm7 is no limb of the humanoid g1, known are g1: take one of "
        "them, or leave humanoid out"
    ]


def test_a_limb_has_no_place_of_its_own():
    def change(document):
        document["sides"]["right"]["arm"]["xyz"] = [0.0, -0.4, 0.0]

    (fault,) = faults(change)
    assert "sides.right.arm: a limb of the humanoid stands on its torso" in fault


def test_an_unknown_humanoid_is_refused_by_name():
    def change(document):
        document["humanoid"]["type"] = "g2"

    (fault,) = faults(change)
    assert "humanoid.type: unknown humanoid 'g2': known are g1" in fault


def test_a_humanoids_urdf_prints_with_its_arms_and_hands():
    text = rig_description(G1).text
    assert urdf.parse(text).description.root == "world"


def test_a_humanoid_by_itself_has_all_its_joints_and_the_weight_of_its_hands():
    body = catalog.humanoid("g1")
    arm = catalog.arm("g1")

    def of(hand):
        hands = {side: (arm, catalog.hand_of_side(hand)) for side in SIDES}
        return humanoid_description(body, hands)

    bare = of("none")
    carrying = of("inspire")
    own = {in_rig(joint.name) for joint in body.description.free_joints}
    arms = {scoped(side, "arm", joint) for side in SIDES for joint in arm.joints}
    for description in (bare, carrying):
        assert {joint.name for joint in description.description.free_joints} == own | arms
    masses = [
        sum(float(mass.get("value")) for mass in robot.robot.iter("mass"))
        for robot in (bare, carrying)
    ]
    assert masses[1] - masses[0] > 0.3
