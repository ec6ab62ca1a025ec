"""A maker's description becomes a hand that simulates."""

import dataclasses
import importlib.util
import math
import re
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("trimesh")
pytest.importorskip("collada")

import maker_files

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla.kinematics import Kinematics, fingertips
from xlvla.types import SIDES
from xlvla.urdf import Mimic
from xlvla_cli import hand as hand_commands
from xlvla_sim.hand_import import fit, importer, meshes, names, pair
from xlvla_sim.hand_import.anatomy import Choices
from xlvla_sim.hand_import.importer import Maker
from xlvla_sim.hand_import.pictures import HandPictures
from xlvla_sim.hand_import.tree import Link, Surface
from xlvla_sim.world import World


@pytest.fixture(scope="module")
def maker_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("maker")
    maker_files.write_meshes(folder)
    urdf = folder / maker_files.PACKAGE / "urdf"
    urdf.mkdir()
    (urdf / "right.urdf").write_text(maker_files.urdf(maker_files.RIGHT, "right"))
    (urdf / "left.urdf").write_text(maker_files.urdf(maker_files.LEFT, "left"))
    return urdf


def bring_in(file, left, folder, name, maker=None, choices=None):
    """The hand as a lab gets it, and what was said."""
    said: list[str] = []
    path = importer.import_hand(
        file,
        left,
        folder,
        name,
        maker=maker or Maker(),
        choices=choices or Choices(),
        say=said.append,
    )
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.HAND, "\n".join(said)


@pytest.fixture(scope="module")
def both_sides(maker_folder, tmp_path_factory):
    return bring_in(
        maker_folder / "right.urdf",
        maker_folder / "left.urdf",
        tmp_path_factory.mktemp("hands"),
        "paw",
    )


@pytest.fixture
def known(both_sides, monkeypatch):
    """The catalogue with the imported hand."""
    hand, _ = both_sides
    monkeypatch.setenv("XLVLA_HANDS", str(hand.urdf_path("right").parents[1]))
    catalog.hands.cache_clear()
    yield hand.name
    monkeypatch.undo()
    catalog.hands.cache_clear()


def test_fingers_side_and_tips_are_found_and_the_wrist_is_left_out(both_sides):
    hand, said = both_sides
    assert hand.faults() == []
    assert list(hand.tips) == ["thumb", "index", "middle", "ring"]
    assert "R_wrist_flex carry the palm" in said and "wrist" not in " ".join(hand.joints)
    assert hand.palm_link("right") == "R_palm" and hand.palm_link("left") == "lh_palm"
    assert "R_ring_pip" not in hand.joints, "it follows another"


@pytest.mark.parametrize("side", SIDES)
def test_the_flange_sees_fingers_along_z_the_palm_to_x_and_the_thumb_at_its_side(both_sides, side):
    hand, _ = both_sides
    lower, upper = hand.command_range(side)
    rest = np.clip(0, lower, upper)
    tips = fingertips(hand, side, rest)
    outward = 1 if side == "right" else -1
    assert outward * (tips["index"][1] - tips["ring"][1]) == pytest.approx(0.06, abs=0.001)
    assert outward * (tips["thumb"] - tips["middle"])[1] > 0.05
    knuckle = sum(maker_files.LENGTHS)
    kinematics = Kinematics(hand.urdf_model(side), hand.joint_names(side))
    base = hand.named("R_middle_proximal", side).replace("R_", "R_" if side == "right" else "lh_")
    way = tips["middle"] - kinematics.fk(rest, [base])[base][:3, 3]
    assert way[2] == pytest.approx(knuckle, abs=0.01) and np.abs(way[:2]).max() < 0.003
    bent = rest.copy()
    bent[hand.joints.index("R_middle_mcp")] = 1.0
    assert (fingertips(hand, side, bent)["middle"] - tips["middle"])[0] > 0.04


def test_left_names_stand_in_a_table_joint_by_joint(both_sides):
    hand, said = both_sides
    right, left = hand.joint_names("right"), hand.joint_names("left")
    assert [name.removeprefix("R_") for name in right] == [
        name.removeprefix("lh_") for name in left
    ]
    assert "turn the other way on the left: R_thumb_yaw" in said
    limits = hand.limits("left")
    yaw = left.index("lh_thumb_yaw")
    assert (limits.lower[yaw], limits.upper[yaw]) == (-1.5, 0)


def test_a_mirror_image_is_told_from_what_is_none(both_sides, maker_folder):
    assert "left is the mirror of right within 0.0" in both_sides[1]
    other = maker_folder / "other_left.urdf"
    words = dataclasses.replace(maker_files.LEFT, longer_m=0.004)
    other.write_text(maker_files.urdf(words, "left"))
    right = importer.side_of(maker_folder / "right.urdf", Maker(), Choices(), print)
    left = importer.side_of(other, Maker(), Choices(), print)
    assert "left is no mirror of right: tips differ by up to" in pair.match(right, left).lines()[0]


def test_one_side_is_mirrored_with_the_other_sides_words(maker_folder, tmp_path):
    hand, _ = bring_in(maker_folder / "right.urdf", None, tmp_path, "single")
    assert hand.faults() == []
    assert hand.joint_names("left")[0] == hand.joint_names("right")[0].replace("R_", "L_")
    q = np.random.default_rng(0).uniform(*hand.command_range("right"))
    right, left = fingertips(hand, "right", q), fingertips(hand, "left", q)
    for finger in right:
        assert left[finger] == pytest.approx(right[finger] * [1, -1, 1], abs=1e-5)


def test_zero_limits_and_impossible_inertia_are_mended_in_a_line_each(both_sides):
    hand, said = both_sides
    assert (hand.limits("right").velocity > 0).all() and (hand.limits("right").effort > 0).all()
    assert "velocity limit 3 rad/s" in said
    assert "link R_index_distal: moments of inertia 1e-06, 1e-06, 9e-06" in said
    assert "link R_index_proximal: no inertia" in said


def test_shapes_lie_at_the_meshes_surface(both_sides, maker_folder):
    hand, said = both_sides
    assert "surface error" in said
    text = hand.urdf_path("right").read_text()
    assert "<mesh" not in text
    # Every mesh is a box or a capsule, DAE in millimetres among them: one shape each is enough.
    assert text.count("<collision") <= 4 * len(hand.description("right").links)


def test_a_capsule_is_found_in_a_cloud_of_points():
    surface = meshes.capsule(np.eye(4), 0.01, 0.02)
    found = fit.fit(Link("finger", (Surface(surface.points, surface.faces),)), 2)
    assert [solid.kind for solid in found.solids] == ["capsule"]
    assert found.solids[0].half == pytest.approx([0.01, 0.01, 0.02], abs=5e-4)
    assert found.mean < 1e-3


def test_an_imported_hand_closes_in_simulation(known, rig_with):
    world = World(rig_with(known), render=False)
    ends = {}
    for side in SIDES:
        hand = world.rig.hand(side)
        lower, upper = hand.command_range(side)
        middle = (lower + upper) / 2
        names = world.rig.joint_names(side, "hand")
        world.command(side, "hand", dict(zip(names, middle, strict=True)))
        ends[side] = middle
    world.step(1.5)
    assert np.isfinite(world.data.qpos).all()
    for side, middle in ends.items():
        assert np.abs(world.joint_state(side, "hand")[0] - middle).max() < 0.1


def test_mjcf_defaults_units_and_couplings_are_resolved(tmp_path):
    file = tmp_path / "right_claw.xml"
    file.write_text(maker_files.MJCF)
    hand, said = bring_in(file, None, tmp_path, "claw", choices=Choices(thumb="digit_a"))
    assert hand.faults() == []
    assert hand.joints == ("a1", "b1", "c1"), said
    limits = hand.limits("right")
    assert limits.upper == pytest.approx(np.radians([80, 80, 80]), abs=1e-5)
    assert limits.effort == pytest.approx([2, 2, 2])
    description = hand.description("right")
    followers = {joint.name: joint.mimic.multiplier for joint in description.joints if joint.mimic}
    assert followers == pytest.approx({"a2": 0.75, "b2": 0.5, "c2": 0.5})
    assert hand.tips["thumb"] == "a_tip"


def test_angles_that_can_only_be_radians_are_taken_so(tmp_path):
    file = tmp_path / "right_claw.xml"
    text = maker_files.MJCF.replace('angle="degree" ', "").replace("0 80", "0 1.4")
    file.write_text(text.replace("0 60", "0 1.1"))
    hand, said = bring_in(file, None, tmp_path, "claw", choices=Choices(thumb="digit_a"))
    assert "its angles are taken as radians" in said
    assert hand.limits("right").upper[0] == pytest.approx(1.4)


def test_a_gripper_that_slides_opens_in_simulation(tmp_path, monkeypatch, rig_with):
    file = tmp_path / "gripper.xml"
    file.write_text(maker_files.SLIDING_GRIPPER)
    hand, _ = bring_in(file, None, tmp_path, "jaws")
    assert list(hand.tips) == ["thumb", "index"] and hand.joints == ("jaw",)
    monkeypatch.setenv("XLVLA_HANDS", str(tmp_path))
    catalog.hands.cache_clear()
    try:
        world = World(rig_with("jaws"), render=False)
        name = world.rig.joint_names("right", "hand")[0]
        world.command("right", "hand", {name: 0.03})
        world.step(1.0)
        assert world.joint_state("right", "hand")[0][0] == pytest.approx(0.03, abs=0.003)
        other = world.data.joint(name.replace("jaw", "other_jaw")).qpos[0]
        assert other == pytest.approx(0.03, abs=0.004)
    finally:
        monkeypatch.undo()
        catalog.hands.cache_clear()


def test_what_cannot_be_found_is_asked_for_with_its_candidates(tmp_path):
    file = tmp_path / "claw.xml"
    text = maker_files.MJCF.replace('pos="0.015 -0.03 0.06"', 'pos="0.026 -0.015 0.06"')
    text = text.replace('pos="-0.015 -0.03 0.06"', 'pos="-0.026 -0.015 0.06"')
    text = text.replace('name="b1" axis="-1 0 0"', 'name="b1" axis="-0.5 -0.87 0"')
    file.write_text(text.replace('name="c1" axis="-1 0 0"', 'name="c1" axis="-0.5 0.87 0"'))
    with pytest.raises(XlvlaError, match=r"say --thumb LINK, one of digit_a_end, digit_b_end"):
        bring_in(file, None, tmp_path, "claw")


def test_two_hands_in_one_file_ask_for_the_palm(tmp_path, maker_folder):
    file = maker_folder / "both.urdf"
    right = maker_files.urdf(maker_files.RIGHT, "right")
    left = maker_files.urdf(maker_files.LEFT, "left").partition("<link")[2]
    stand = '<link name="stand"/>'
    for prefix in ("R_", "lh_"):
        stand += (
            f'<joint name="{prefix}stand" type="fixed"><parent link="stand"/>'
            f'<child link="{prefix}forearm"/></joint>'
        )
    file.write_text(right.replace("</robot>", f"{stand}<link{left}"))
    with pytest.raises(XlvlaError, match="say --palm R_palm or lh_palm"):
        bring_in(file, None, tmp_path, "two")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (('upper="1.4"', 'upper="0"'), "its limits are both 0, so it is fixed"),
        (('upper="1.4"', 'upper="90"'), "are these degrees"),
        (("meshes/palm.stl", "meshes/hand.stl"), "no mesh 'package://maker_description/meshes/h"),
        (('lower="0" upper="1.4"', ""), "give them by --limit R_index_mcp=LOW,HIGH"),
        (
            ('"R_index_mcp" type="revolute"', '"R_index_mcp" type="continuous"'),
            "joint R_index_mcp: continuous, which has no limits; those beside it, 0 to 1.4 rad",
        ),
    ],
)
def test_strange_files_end_in_one_line(maker_folder, tmp_path, change, line):
    file = maker_folder / "strange.urdf"
    file.write_text(maker_files.urdf(maker_files.RIGHT, "right").replace(*change, 1))
    said: list[str] = []
    try:
        importer.side_of(file, Maker(), Choices(), said.append)
    except XlvlaError as error:
        said.append(str(error))
    assert line in "\n".join(said)


def test_all_joints_without_limits_are_asked_for_at_once(maker_folder):
    file = maker_folder / "endless.urdf"
    text = maker_files.urdf(maker_files.RIGHT, "right")
    file.write_text(text.replace('lower="0" upper="1.4"', ""))
    asked = "joints 'R_index_mcp', 'R_middle_mcp', 'R_ring_mcp' have no limits: give them by "
    with pytest.raises(XlvlaError, match=f"{asked}--limit R_index_mcp=LOW,HIGH --limit R_middle"):
        importer.side_of(file, Maker(), Choices(), lambda line: None)


def test_limits_that_a_file_lacks_can_be_given(maker_folder):
    file = maker_folder / "unlimited.urdf"
    text = maker_files.urdf(maker_files.RIGHT, "right")
    file.write_text(text.replace('lower="0" upper="1.4"', "", 1))
    maker = Maker(limits={"R_index_mcp": (0.0, math.radians(70))})
    found = importer.side_of(file, maker, Choices(), lambda line: None)
    assert found.tree.by_name["R_index_mcp"].upper == pytest.approx(1.2217, abs=1e-3)


def test_couplings_that_a_file_lacks_can_be_given(maker_folder):
    file = maker_folder / "right.urdf"
    maker = Maker(couplings={"R_index_pip": Mimic("R_index_mcp", 0.8, 0.1)})
    found = importer.side_of(file, maker, Choices(), lambda line: None)
    assert found.digits["index"].joints == ("R_index_mcp",)
    master, factor, offset = found.tree.coupling(found.tree.by_name["R_index_pip"])
    assert (master.name, factor, offset) == ("R_index_mcp", 0.8, 0.1)
    for joint, other, line in (
        ("R_ring_mcp", "R_ring_pip", "joint 'R_ring_mcp' would follow itself"),
        ("R_ring_mcp", "R_palm", "unknown moving joint of R_hand 'R_palm'"),
    ):
        maker = Maker(couplings={joint: Mimic(other)})
        with pytest.raises(XlvlaError, match=line):
            importer.side_of(file, maker, Choices(), lambda line: None)


@pytest.mark.parametrize(
    "said",
    [{"couplings": {"R_indx_pip": Mimic("R_index_mcp")}}, {"limits": {"R_indx_pip": (0, 1)}}],
)
def test_what_is_said_of_a_joint_that_no_file_has_is_refused(maker_folder, tmp_path, said):
    with pytest.raises(XlvlaError, match=r"'R_indx_pip': .* did you mean 'R_index_pip'"):
        bring_in(maker_folder / "right.urdf", None, tmp_path, "paw", maker=Maker(**said))
    assert not list(tmp_path.iterdir())


def test_a_coupling_of_one_side_is_the_other_sides_too(tmp_path):
    text = maker_files.MJCF.replace('<joint joint1="a2" joint2="a1" polycoef="0 0.75 0 0 0"/>', "")
    for side in SIDES:
        words = re.sub(r'"([abc][12])"', rf'"{side}_\1"', text)
        (tmp_path / f"{side}_claw.xml").write_text(words)
    files = (tmp_path / "right_claw.xml", tmp_path / "left_claw.xml")
    maker = Maker(couplings={"left_a2": Mimic("left_a1", 0.5)})
    hand, _ = bring_in(*files, tmp_path, "claw", maker=maker, choices=Choices(thumb="digit_a"))
    for side in SIDES:
        coupled = {joint.name: joint.mimic for joint in hand.description(side).joints}
        assert coupled[f"{side}_a2"].joint == f"{side}_a1"


def test_masses_that_are_not_meant_are_scaled(maker_folder):
    file = maker_folder / "right.urdf"
    said: list[str] = []
    found = importer.side_of(file, Maker(mass_kg=0.4), Choices(), said.append)
    weights = [link.inertial for link in found.tree.links.values() if link.inertial]
    assert sum(each.mass for each in weights) == pytest.approx(0.4)
    assert "now 0.4 kg" in "\n".join(said)


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        ("0 30", "joint b1: from 0 to 1.05 only, where b2, which follows it, is at its limits"),
        ("0 10", "joint b2 meets its limits while it follows b1: it follows"),
        ("50 60", "joint b2 is held at 0.873 by its limits, while it should follow b1"),
    ],
)
def test_what_follows_a_joint_stays_within_its_own_limits(tmp_path, limits, line):
    file = tmp_path / "right_claw.xml"
    limited = f'name="b2" axis="-1 0 0" range="{limits}"'
    file.write_text(maker_files.MJCF.replace('name="b2" axis="-1 0 0"', limited))
    said: list[str] = []
    importer.side_of(file, Maker(), Choices(thumb="digit_a"), said.append)
    assert line in "\n".join(said)


BODY = '<body name="base"><geom type="mesh" mesh="base"/></body>'


@pytest.mark.parametrize(
    "text",
    [
        f"<mujocoinclude>{BODY}</mujocoinclude>",
        f"<mujoco><worldbody>{BODY}</worldbody></mujoco>",
        f"<mujoco>{BODY}</mujoco>",
    ],
)
def test_a_part_of_a_model_names_the_files_that_include_it(tmp_path, text):
    part = tmp_path / "part.xml"
    part.write_text(text)
    whole = tmp_path / "whole.xml"
    whole.write_text('<mujoco><worldbody><include file="part.xml"/></worldbody></mujoco>')
    with pytest.raises(XlvlaError, match=f"it is part of {re.escape(str(whole))}: import one"):
        importer.read(part, Maker())


def test_fingers_on_a_part_of_the_palm_that_moves_are_two(tmp_path):
    file = tmp_path / "right_hand.xml"
    file.write_text(maker_files.PALM_OF_TWO_PARTS)
    found = importer.side_of(file, Maker(), Choices(), lambda line: None)
    assert list(found.digits) == ["thumb", "index", "middle", "ring", "little"]
    assert found.palm == "base"
    assert found.digits["ring"].joints == ("arch", "ring_flex")
    assert found.digits["little"].joints == ("arch", "little_flex")


def test_one_spread_finger_does_not_turn_the_hand(tmp_path):
    file = tmp_path / "right_hand.xml"
    spread = 'name="little" pos="0 -0.015 0" euler="40 0 0"'
    text = maker_files.PALM_OF_TWO_PARTS.replace('name="little" pos="0 -0.015 0"', spread)
    assert text != maker_files.PALM_OF_TWO_PARTS
    file.write_text(text)
    found = importer.side_of(file, Maker(), Choices(), lambda line: None)
    assert found.axes[:, 2] == pytest.approx([0, 0, 1], abs=1e-3)


@pytest.mark.parametrize(
    ("thumb", "forward"),
    [("0.08 0 0", (0, 0, 1)), ("0.03 0 0.074", (0.19, 0, 0.98))],
    ids=["across", "around"],
)
def test_of_three_fingers_only_a_thumb_that_points_forward_says_where_that_is(
    tmp_path, thumb, forward
):
    file = tmp_path / "right_hand.xml"
    file.write_text(maker_files.three_fingers(thumb))
    found = importer.side_of(file, Maker(), Choices(), lambda line: None)
    assert found.axes[:, 2] == pytest.approx(forward, abs=0.01)


def test_xacro_is_expanded_and_strange_arguments_are_named(maker_folder):
    pytest.importorskip("xacrodoc")
    file = maker_folder / "hand.urdf.xacro"
    text = maker_files.urdf(maker_files.RIGHT, "right").replace("R_", "${prefix}")
    start = text.index(">") + 1
    head = '<robot name="hand" xmlns:xacro="http://www.ros.org/wiki/xacro">'
    argument = '<xacro:arg name="prefix" default="rh_"/><xacro:property name="prefix" value="$(arg prefix)"/>'
    file.write_text(head + argument + text[start:])
    found = importer.side_of(file, Maker(), Choices(), lambda line: None)
    assert found.palm == "rh_palm" and found.side == "right"
    with pytest.raises(XlvlaError, match="no xacro argument 'prefx': known are prefix"):
        importer.side_of(file, Maker(arguments={"prefx": "x"}), Choices(), lambda line: None)


def test_a_hand_is_named_after_its_file_without_the_side():
    assert names.hand_name(Path("Shadow_right.urdf.xacro")) == "shadow"
    with pytest.raises(XlvlaError, match="say --name NAME"):
        names.hand_name(Path("right.urdf"))


def test_pictures_show_every_pinch_whole_and_fingers_that_close():
    pictures = HandPictures(catalog.hand("ability"), "right")
    try:
        for q, _ in pictures.pinches.values():
            seen = pictures.picture(q, 40.0, width=105, height=130)
            edge = np.concatenate([seen[0], seen[-1], seen[:, 0], seen[:, -1]])
            assert edge.min() > 250, "the hand is cut off"
    finally:
        pictures.close()
    closed = HandPictures(catalog.hand("allegro"), "left")
    try:
        for finger in ("index", "middle", "ring"):
            spread, *bends = closed.digits[finger].joints
            assert closed.fist[spread] == closed.open[spread]
            assert all(closed.fist[name] == closed.tree.by_name[name].upper for name in bends)
    finally:
        closed.close()


def test_commands_import_a_hand_and_show_it(maker_folder, tmp_path, monkeypatch):
    app = typer.Typer()
    hand_commands.register(app)

    def run(*words):
        return CliRunner().invoke(app, ["hand", *map(str, words)], catch_exceptions=False)

    hands = tmp_path / "hands"
    words = ("import", maker_folder / "right.urdf", "--to", hands, "--name", "paw")
    done = run(*words)
    assert f"export XLVLA_HANDS={hands}" in done.output
    with pytest.raises(XlvlaError, match="there is a hand 'paw' already: say --name NAME"):
        run(*words)
    with pytest.raises(XlvlaError, match="--limit takes NAME=VALUE, not 'R_index_mcp'"):
        run(*words, "--limit", "R_index_mcp")
    monkeypatch.setenv("XLVLA_HANDS", str(hands))
    catalog.hands.cache_clear()
    page = tmp_path / "paw.html"
    try:
        run("show", "paw", "--out", page)
    finally:
        monkeypatch.undo()
        catalog.hands.cache_clear()
    text = page.read_text()
    assert text.count("data:image/png") == 2 * (2 + 5 + 3)
    assert "R_thumb_yaw" in text and "L_thumb_yaw" in text and "maker's mesh" in text
