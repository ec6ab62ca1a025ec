"""One URDF, read by everybody alike: the simulator, the distances, the kinematics and the codec."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mujoco")
pytest.importorskip("torch")

import mujoco
import pinocchio as pin
import torch

from xlvla import catalog, rig_file, shapes, solids, urdf
from xlvla.errors import XlvlaError
from xlvla.hand import Hand
from xlvla.inertia import inertia_faults, inertia_of
from xlvla.kinematics import Kinematics
from xlvla.robot import arm_with_hand
from xlvla.types import SIDES, scoped
from xlvla_drivers.motion.distance import geometry_of
from xlvla_policy.latent.kinematics import fingertips
from xlvla_sim.robot_model import add_robot

POSES = 5
KINDS = {
    mujoco.mjtGeom.mjGEOM_BOX: "box",
    mujoco.mjtGeom.mjGEOM_SPHERE: "sphere",
    mujoco.mjtGeom.mjGEOM_CYLINDER: "cylinder",
    mujoco.mjtGeom.mjGEOM_CAPSULE: "capsule",
}


def nameless(hand: Hand, folder: Path) -> Hand:
    """The hand with the names of its shapes stripped, as many makers write them."""
    for side in SIDES:
        text = hand.urdf_path(side).read_text()
        stripped = re.sub(r'<(collision|visual) name="[^"]*"', r"<\1", text)
        assert stripped != text
        (folder / f"{side}.urdf").write_text(stripped)
    return dataclasses.replace(hand, urdf=str(folder / "{side}.urdf"))


def simulated(model: urdf.Urdf) -> mujoco.MjModel:
    spec = mujoco.MjSpec()
    add_robot(spec, model)
    return spec.compile()


def seen_by_simulator(
    model: mujoco.MjModel, description: urdf.Description, joints: tuple[str, ...]
) -> list[tuple]:
    """Kind, sizes and place in the world of every geom that collides, joints at zero."""
    data = mujoco.MjData(model)
    posed(model, data, description, dict.fromkeys(joints, 0.0))
    found = []
    for number in range(model.ngeom):
        geom = model.geom(number)
        if geom.contype[0] == 0:
            continue
        kind = KINDS[mujoco.mjtGeom(geom.type[0])]
        count = {"box": 3, "sphere": 1}.get(kind, 2)
        found.append((kind, geom.size[:count], data.geom_xpos[number].copy()))
    return found


def seen_by_distances(model: urdf.Urdf, joints: tuple[str, ...]) -> list[tuple]:
    """The same of the shapes that distances are kept between."""
    robot = Kinematics(model, joints)
    geometry = geometry_of(robot.model, model)
    data = pin.GeometryData(geometry)
    pin.updateGeometryPlacements(
        robot.model, robot.data, geometry, data, robot.full(np.zeros(len(joints)))
    )
    found = []
    for shape, placement in zip(geometry.geometryObjects, data.oMg, strict=True):
        # The root is the world's: nothing of it moves, and the simulator draws its own.
        if shape.name.startswith(f"{model.description.root}/"):
            continue
        solid = shape.geometry
        if isinstance(solid, pin.coal.Box):
            found.append(("box", np.array(solid.halfSide), placement.translation))
        elif isinstance(solid, pin.coal.Sphere):
            found.append(("sphere", np.array([solid.radius]), placement.translation))
        else:
            kind = "capsule" if isinstance(solid, pin.coal.Capsule) else "cylinder"
            sizes = np.array([solid.radius, solid.halfLength])
            found.append((kind, sizes, placement.translation))
    return found


def in_order(found: list[tuple]) -> list[tuple]:
    return sorted(found, key=lambda entry: (entry[0], *np.round(entry[2], 6), *entry[1]))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("name", catalog.hands())
def test_a_hand_without_names_of_shapes_is_the_same_to_everybody(name, side, tmp_path):
    hand = nameless(catalog.hand(name), tmp_path)
    arm = catalog.arm("xarm7").on(side)
    whole = arm_with_hand(arm, hand, side)
    joints = (
        *(scoped(side, "arm", joint) for joint in arm.joints),
        *(scoped(side, "hand", joint) for joint in hand.joint_names(side)),
    )
    model = simulated(whole)

    # Shape by shape.
    ours = in_order(seen_by_simulator(model, whole.description, joints))
    theirs = in_order(seen_by_distances(whole, joints))
    assert len(ours) == len(theirs) > 10
    for one, other in zip(ours, theirs, strict=True):
        assert one[0] == other[0]
        np.testing.assert_allclose(one[1], other[1], atol=1e-9)
        np.testing.assert_allclose(one[2], other[2], atol=1e-6)
    named = catalog.hand(name)
    assert shapes.shapes(hand.urdf_path(side)) == shapes.shapes(named.urdf_path(side))

    # Joint by joint: where fingertips are.
    kinematics = Kinematics(whole, joints)
    alone = Kinematics(hand.urdf_model(side), hand.joint_names(side))
    tips = {finger: scoped(side, "hand", link) for finger, link in hand.tip_links(side).items()}
    fingers, learned = fingertips(hand, side)
    rng = np.random.default_rng(0)
    data = mujoco.MjData(model)
    mirror = np.array([1.0, -1.0 if side == "left" else 1.0, 1.0])
    for _ in range(POSES):
        q = rng.uniform(kinematics.lower, kinematics.upper)
        posed(model, data, whole.description, dict(zip(joints, q.tolist(), strict=True)))
        poses = kinematics.fk(q, list(tips.values()))
        hand_q = q[len(arm.joints) :]
        in_hand = alone.fk(hand_q, list(hand.tip_links(side).values()))
        codec = learned(torch.tensor(hand_q[None], dtype=torch.float32))[0].numpy()
        for number, finger in enumerate(fingers):
            link = tips[finger]
            np.testing.assert_allclose(data.body(link).xpos, poses[link][:3, 3], atol=1e-5)
            own = in_hand[hand.tip_links(side)[finger]][:3, 3]
            np.testing.assert_allclose(codec[number] * mirror, own, atol=2e-5)


def posed(model, data, description: urdf.Description, q: dict[str, float]) -> None:
    """Puts a simulated robot into a pose, its coupled joints where the URDF says."""
    for joint in description.joints:
        if not joint.moves:
            continue
        master, multiplier, offset = description.coupling(joint)
        data.joint(joint.name).qpos[0] = multiplier * q[master.name] + offset
    mujoco.mj_kinematics(model, data)


# What makers write and the catalogue's hands do not have.


MAKERS = """<robot name="maker">
  <link name="world"/>
  <link name="palm">
    <inertial>
      <origin xyz="0.01 0 0" rpy="0 0 1.5707963267948966"/>
      <mass value="0.3"/>
      <inertia ixx="1e-4" iyy="2e-4" izz="2.5e-4" ixy="0" ixz="0" iyz="0"/>
    </inertial>
    <visual><geometry><mesh filename="package://gone/palm.stl"/></geometry></visual>
    <collision><origin xyz="0 0 0.01"/><geometry><box size="0.02 0.04 0.06"/></geometry></collision>
    <collision><origin xyz="0 0 0.05"/><geometry><sphere radius="0.01"/></geometry></collision>
    <collision name="twice"><geometry><cylinder radius="0.01" length="0.03"/></geometry></collision>
    <collision name="twice"><origin xyz="0 0 0.1"/><geometry><sphere radius="0.02"/></geometry></collision>
  </link>
  <link name="slider"><inertial><mass value="0.1"/><inertia ixx="1e-5" iyy="1e-5" izz="1e-5"/></inertial>
    <visual><geometry><box size="0.01 0.01 0.01"/></geometry></visual></link>
  <link name="middle"><inertial><mass value="0.1"/><inertia ixx="1e-5" iyy="1e-5" izz="1e-5"/></inertial></link>
  <link name="end"><inertial><mass value="0.1"/><inertia ixx="1e-5" iyy="1e-5" izz="1e-5"/></inertial></link>
  <joint name="mount" type="fixed"><parent link="world"/><child link="palm"/></joint>
  <joint name="slide" type="prismatic"><parent link="palm"/><child link="slider"/>
    <origin xyz="0 0 0.1"/><axis xyz="0 0 1"/><limit lower="0" upper="0.05" velocity="0.1" effort="5"/></joint>
  <joint name="follow" type="revolute"><parent link="slider"/><child link="middle"/>
    <axis xyz="0 1 0"/><limit lower="0" upper="2" velocity="1" effort="1"/>
    <mimic joint="slide" multiplier="20" offset="0.1"/></joint>
  <joint name="follow_on" type="revolute"><parent link="middle"/><child link="end"/>
    <origin xyz="0 0 0.04"/><axis xyz="0 1 0"/><limit lower="0" upper="2" velocity="1" effort="1"/>
    <mimic joint="follow" multiplier="0.5" offset="-0.02"/></joint>
</robot>"""


def test_what_makers_write_is_kept_by_everybody():
    model = urdf.parse(MAKERS)
    simulation = simulated(model)
    seen = seen_by_simulator(simulation, model.description, ("slide",))
    assert sorted(kind for kind, _, _ in seen) == ["box", "box", "cylinder", "sphere", "sphere"]
    theirs = in_order(seen_by_distances(model, ("slide",)))
    for one, other in zip(in_order(seen), theirs, strict=True):
        assert one[0] == other[0]
        np.testing.assert_allclose(one[1], other[1], atol=1e-9)
        np.testing.assert_allclose(one[2], other[2], atol=1e-9)

    kinematics = Kinematics(model, ("slide",))
    data = mujoco.MjData(simulation)
    for slide in (0.0, 0.02, 0.05):
        posed(simulation, data, model.description, {"slide": slide})
        expected = kinematics.fk(np.array([slide]), ["slider", "end"])
        for link, pose in expected.items():
            np.testing.assert_allclose(data.body(link).xpos, pose[:3, 3], atol=1e-9)
            np.testing.assert_allclose(data.body(link).xmat.reshape(3, 3), pose[:3, :3], atol=1e-9)
        np.testing.assert_allclose(expected["slider"][:3, 3], (0, 0, 0.1 + slide), atol=1e-12)


def test_coupled_joints_end_where_the_urdf_says_while_the_simulation_runs():
    model = urdf.parse(MAKERS)
    simulation = simulated(model)
    data = mujoco.MjData(simulation)
    posed(simulation, data, model.description, {"slide": 0.03})
    for _ in range(200):
        mujoco.mj_step(simulation, data)
    slide = data.joint("slide").qpos[0]
    for name in ("follow", "follow_on"):
        master, multiplier, offset = model.description.coupling(model.description.joint(name))
        assert master.name == "slide"
        assert data.joint(name).qpos[0] == pytest.approx(multiplier * slide + offset, abs=2e-3)


def test_an_inertial_frame_that_is_turned_turns_the_inertia():
    model = urdf.parse(MAKERS)
    palm = next(link for link in model.robot.findall("link") if link.get("name") == "palm")
    inertia = inertia_of(palm.find("inertial"))
    np.testing.assert_allclose(inertia.tensor, np.diag([2e-4, 1e-4, 2.5e-4]), atol=1e-12)
    body = simulated(model).body("palm")
    frame = np.zeros(9)
    mujoco.mju_quat2Mat(frame, body.iquat)
    turn = frame.reshape(3, 3)
    np.testing.assert_allclose(turn @ np.diag(body.inertia) @ turn.T, inertia.tensor, atol=1e-10)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (('<mass value="0.3"/>', '<mass value="-1"/>'), "'palm' has a mass of -1 kg"),
        (('ixx="1e-4"', 'ixx="0"'), "'palm' has a mass of 0.3 kg and principal inertias of 0,"),
        (('izz="2.5e-4"', 'izz="9e-4"'), "no body has one above the sum of the others"),
        (('<mass value="0.3"/>', '<mass value="x"/>'), "mass is 'x'"),
    ],
)
def test_an_inertia_that_no_body_has_is_one_line(change, line):
    faults = inertia_faults(urdf.parse(MAKERS.replace(*change)))
    assert len(faults) == 1 and line in faults[0]


def test_a_moving_link_without_mass_is_one_line():
    text = re.sub(r'<link name="end">.*?</link>', '<link name="end"/>', MAKERS)
    (fault,) = inertia_faults(urdf.parse(text))
    assert fault == "link 'end' is moved by joint 'follow_on' and has no mass: add <inertial>"


def test_meshes_that_are_not_read_are_named_where_they_matter():
    assert solids.unread(urdf.parse(MAKERS)) == []
    mesh = '<collision><geometry><mesh filename="a.stl"/></geometry></collision>'
    colliding = MAKERS.replace('<link name="middle">', f'<link name="middle">{mesh}')
    assert solids.unread(urdf.parse(colliding)) == [
        "link 'middle' collides by 1 meshes, which are not read"
    ]
    alone = MAKERS.replace('<box size="0.01 0.01 0.01"/>', '<mesh filename="a.stl"/>')
    assert solids.unread(urdf.parse(alone)) == [
        "link 'slider' has no shape but meshes, which are not read"
    ]


@pytest.mark.parametrize("size", ["0 0.04 0.06", "-0.02 0.04 0.06"])
def test_a_shape_without_a_size_is_refused_in_a_line(size):
    with pytest.raises(XlvlaError, match=r"a box of link 'palm' has a size of .* above 0"):
        simulated(urdf.parse(MAKERS.replace("0.02 0.04 0.06", size)))


def test_a_rig_refuses_a_hand_of_which_something_would_be_lost(tmp_path, monkeypatch):
    hand = nameless(catalog.hand("xhand"), tmp_path)
    path = hand.urdf_path("right")
    text = path.read_text()
    mesh = '<link name="right_hand_ee_link"><collision><geometry><mesh filename="a.stl"/></geometry></collision></link>'
    path.write_text(text.replace('<link name="right_hand_ee_link"/>', mesh))
    entry = tmp_path / "meshed.py"
    entry.write_text(
        "from dataclasses import replace\n"
        "from xlvla.hands.xhand import HAND as MODEL\n"
        f"HAND = replace(MODEL, name='meshed', urdf={str(tmp_path / '{side}.urdf')!r})\n"
    )
    monkeypatch.setenv("XLVLA_HANDS", str(tmp_path))
    catalog.hands.cache_clear()
    try:
        with pytest.raises(XlvlaError, match=r"'right_hand_ee_link' collides by 1 meshes"):
            rig_file.with_choices(rig_file.load("bimanual"), hands={"right": "meshed"})
    finally:
        catalog.hands.cache_clear()
