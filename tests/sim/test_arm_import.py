"""Arms as makers describe them, with a gripper on and a joint that turns without end, become arms of
a rig.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip("mujoco")
pytest.importorskip("scipy")

from command_line import run
from xlvla import catalog, rig_file, urdf
from xlvla.errors import XlvlaError
from xlvla.kinematics import Kinematics
from xlvla_sim import arm_import
from xlvla_sim.arm_import import Choices
from xlvla_sim.hand_import.importer import Maker

URDF = """
<robot name="three">
  <link name="stand"><inertial><mass value="3"/><inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0"
    ixz="0" iyz="0"/></inertial><collision><geometry><box size="0.1 0.1 0.1"/></geometry>
    </collision></link>
  <link name="upper"><collision><origin xyz="0 0 0.15"/><geometry><cylinder radius="0.04"
    length="0.3"/></geometry></collision></link>
  <link name="fore"><collision><origin xyz="0 0 0.1"/><geometry><box size="0.05 0.05 0.2"/>
    </geometry></collision></link>
  <link name="wrist"><collision><geometry><sphere radius="0.03"/></geometry></collision></link>
  <link name="tool0"/>
  <link name="gripper"/><link name="finger_a"/><link name="finger_b"/>
  <joint name="turn" type="continuous"><parent link="stand"/><child link="upper"/>
    <origin xyz="0 0 0.05"/><axis xyz="0 0 1"/><limit velocity="2" effort="50"/></joint>
  <joint name="bend" type="revolute"><parent link="upper"/><child link="fore"/>
    <origin xyz="0 0 0.3"/><axis xyz="0 1 0"/>
    <limit lower="-2.5" upper="-0.5" velocity="0" effort="30"/></joint>
  <joint name="roll" type="revolute"><parent link="fore"/><child link="wrist"/>
    <origin xyz="0 0 0.2" rpy="0 0.3 0"/><axis xyz="0 0 1"/>
    <limit lower="-3" upper="3" velocity="3" effort="9"/></joint>
  <joint name="flange_joint" type="fixed"><parent link="wrist"/><child link="tool0"/>
    <origin xyz="0 0 0.05"/></joint>
  <joint name="gripper_joint" type="fixed"><parent link="tool0"/><child link="gripper"/></joint>
  <joint name="finger_a_joint" type="prismatic"><parent link="gripper"/><child link="finger_a"/>
    <axis xyz="0 1 0"/><limit lower="0" upper="0.04" velocity="0.2" effort="100"/></joint>
  <joint name="finger_b_joint" type="prismatic"><parent link="gripper"/><child link="finger_b"/>
    <axis xyz="0 -1 0"/><limit lower="0" upper="0.04" velocity="0.2" effort="100"/></joint>
</robot>
"""

LIFT = """
<robot name="column">
  <link name="foot"><collision><geometry><box size="0.1 0.1 0.1"/></geometry></collision></link>
  <link name="carriage"><inertial><mass value="20"/><inertia ixx="0.2" iyy="0.2" izz="0.2" ixy="0"
    ixz="0" iyz="0"/></inertial><collision><geometry><box size="0.1 0.1 0.1"/></geometry>
    </collision></link>
  <joint name="lift" type="prismatic"><parent link="foot"/><child link="carriage"/>
    <origin xyz="0 0 0.2"/><axis xyz="0 0 1"/>
    <limit lower="0" upper="0.8" velocity="0.3" effort="600"/></joint>
</robot>
"""

MJCF = """
<mujoco model="two">
  <worldbody>
    <body name="stand"><geom type="box" size="0.05 0.05 0.05" mass="2"/>
      <body name="upper" pos="0 0 0.1">
        <joint name="lift" axis="0 1 0" range="-90 90"/>
        <geom type="capsule" fromto="0 0 0 0 0 0.3" size="0.04" mass="1.5"/>
        <body name="fore" pos="0 0 0.3">
          <joint name="bend" axis="0 1 0" range="10 120"/>
          <geom type="capsule" fromto="0 0 0 0 0 0.2" size="0.03" mass="1"/>
          <site name="attachment_site" pos="0 0 0.25"/>
        </body>
      </body>
    </body>
  </worldbody>
</mujoco>
"""


@pytest.fixture
def maker_file(tmp_path):
    file = tmp_path / "with-gripper.urdf"
    file.write_text(URDF)
    return file


def output(*words: str) -> str:
    done = run(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported(file, folder, name, **choices):
    """What was said, and the arm as the catalogue has it."""
    said: list[str] = []
    entry = arm_import.import_arm(
        file, folder, name, maker=Maker(), choices=Choices(**choices), say=said.append
    )
    return said, catalog._own_arm(entry)


def test_an_arm_keeps_its_kinematics_and_leaves_its_gripper(maker_file, tmp_path):
    said, arm = imported(maker_file, tmp_path / "arms", "mine", acceleration=7.0)
    assert arm.joints == ("turn", "bend", "roll") and arm.flange == "tool0"
    assert arm.acceleration == 7.0
    assert "  left out: finger_a_joint, finger_b_joint and what hangs on them" in said
    assert "  joint turn turns without end: one turn to either side is used" in said
    assert arm.limits.upper == pytest.approx([2 * np.pi, -0.5, 3.0])
    assert arm.limits.velocity == pytest.approx([2.0, 2.5, 3.0]), "the median of the others"
    assert arm.home["left"] == {"turn": 0.0, "bend": -1.5, "roll": 0.0}
    q = np.array([0.7, -1.1, 0.4])
    places = []
    for model in (urdf.load(maker_file), arm.urdf_model):
        places.append(Kinematics(model, arm.joints).fk(q, ["tool0"])["tool0"])
    np.testing.assert_allclose(*places, atol=1e-6)


def test_an_arm_in_mjcf_is_read_and_its_mount_found(tmp_path):
    file = tmp_path / "two.xml"
    file.write_text(MJCF)
    _, arm = imported(file, tmp_path / "arms", "two")
    assert arm.joints == ("lift", "bend") and arm.flange == "attachment_site"
    assert arm.limits.upper == pytest.approx(np.radians([90, 120]))
    kinematics = Kinematics(arm.urdf_model, arm.joints)
    assert kinematics.fk(np.zeros(2), [arm.flange])[arm.flange][2, 3] == pytest.approx(0.65)


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"home": {"bnd": 0.0}}, "unknown joint of --home 'bnd'.*did you mean 'bend'"),
        ({"home": {"bend": 1.0}}, "--home bend=1 is outside of its limits"),
        ({"flange": "tool1"}, "unknown link of three 'tool1'"),
        ({"base": "fore", "flange": "upper"}, "upper does not hang on fore"),
        ({"flange": "stand"}, "no joint moves stand against stand: say --base"),
    ],
)
def test_what_does_not_fit_an_arm_is_one_line(maker_file, tmp_path, choices, says):
    with pytest.raises(XlvlaError, match=says):
        imported(maker_file, tmp_path / "arms", "mine", **choices)


def test_a_limit_of_a_joint_that_is_not_there_is_one_line(maker_file, tmp_path):
    maker = Maker(limits={"bned": (-1.0, 0.0)})
    with pytest.raises(XlvlaError, match=r"unknown joint of --limit 'bned'.*did you mean 'bend'"):
        arm_import.import_arm(
            maker_file, tmp_path / "arms", "mine", maker=maker, choices=Choices(), say=print
        )


def test_joints_whose_limits_a_maker_left_out_are_named_together(tmp_path):
    """One that turns without end says so: it is continuous."""
    file = tmp_path / "three.urdf"
    file.write_text(re.sub(r'lower="-\d.*?" upper="\S+"', "", URDF))
    with pytest.raises(
        XlvlaError, match="joints 'bend', 'roll' have no limits: give them by --limit"
    ):
        imported(file, tmp_path / "arms", "mine")


def test_what_no_entry_can_say_is_one_line(maker_file, tmp_path):
    for words, says in (
        (("--acceleration", "inf"), "--acceleration takes a number of rad/s^2, not inf"),
        (("--name", "none"), "'none' is the name of no arm at all"),
    ):
        done = run("arm", "import", str(maker_file), "--to", str(tmp_path / "arms"), *words)
        assert done.returncode == 2 and says in done.stderr
        assert not (tmp_path / "arms").exists()


def test_an_arm_with_a_joint_that_slides_begins_gently(tmp_path):
    file = tmp_path / "column.urdf"
    file.write_text(LIFT)
    said, arm = imported(file, tmp_path / "arms", "column")
    assert arm.acceleration == 1.0
    assert "  acceleration 1 m/s^2 and rad/s^2, gentle: say --acceleration" in said


def test_an_imported_arm_is_an_arm_of_rigs(maker_file, tmp_path, monkeypatch):
    folder = tmp_path / "arms"
    text = output("arm", "import", str(maker_file), "--name", "mine", "--to", str(folder))
    assert f"export XLVLA_ARMS={folder}" in text
    monkeypatch.setenv("XLVLA_ARMS", str(folder))
    catalog.arms.cache_clear()
    try:
        rig = rig_file.from_document(
            {
                "name": "test",
                "policy": None,
                "sides": {"left": {"arm": {"type": "mine"}, "hand": {"type": "inspire"}}},
            },
            "test",
        )
        assert rig.home("left")["left_arm_bend"] == -1.5
        assert "mine" in output("list") and urdf.parse(output("urdf", "--arm", "mine"), "mine")
    finally:
        catalog.arms.cache_clear()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ARM = 3\n", "is no arm: it needs `ARM = xlvla.arm.Arm"),
        ("from xlvla.arms.ur5e import ARM\n", "is named 'ur5e': name it 'mine'"),
    ],
)
def test_an_own_arm_that_is_none_is_one_line(tmp_path, text, says):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(XlvlaError, match=says):
        catalog._own_arm(path)
