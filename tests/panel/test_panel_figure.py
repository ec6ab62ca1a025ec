"""The robot on the page stands where kinematics say."""

from __future__ import annotations

import numpy as np
import pytest

viser = pytest.importorskip("viser")
pytest.importorskip("pinocchio")

from viser.transforms import SE3, SO3

from xlvla import rig_file
from xlvla.kinematics import Kinematics
from xlvla.robot import rig_description
from xlvla_cli.panel.figure import Figure
from xlvla_cli.panel.server import PanelServer, Place


@pytest.fixture(scope="module")
def scene():
    server = PanelServer(Place(port=0))
    yield server.scene
    server.stop()


# Hands with free joints, with couplings, and one that slides.
@pytest.mark.parametrize("hand", ["xhand", "inspire", "ability", "xarm_gripper"])
def test_links_stand_where_kinematics_say(scene, hand):
    rig = rig_file.with_choices(rig_file.load("bimanual"), hands={"left": hand}, policy="none")
    description = rig_description(rig)
    names = [name for side, part in rig.parts for name in rig.joint_names(side, part)]
    kinematics = Kinematics(description, names)
    low = np.maximum(kinematics.lower, -1.5)
    high = np.minimum(kinematics.upper, 1.5)
    q = low + (high - low) * np.random.default_rng(0).random(len(names))
    frames = {}

    class Kept:
        """The scene, and the frames that were made in it."""

        def __getattr__(self, name):
            return getattr(scene, name)

        def add_frame(self, name, **options):
            frames[name] = scene.add_frame(name, **options)
            return frames[name]

    figure = Figure(Kept(), description, f"/{hand}")
    figure.show(dict(zip(names, q.tolist(), strict=True)))

    poses = kinematics.fk(q, description.description.links)
    shown = {}
    for path, frame in frames.items():
        above = path.rpartition("/")[0]
        own = SE3.from_rotation_and_translation(SO3(np.array(frame.wxyz)), np.array(frame.position))
        shown[path] = shown.get(above, SE3.identity()) @ own
    checked = 0
    for path, pose in shown.items():
        link = path.rpartition("/")[2]
        if link in poses:
            np.testing.assert_allclose(pose.as_matrix(), poses[link], atol=1e-6, err_msg=link)
            checked += 1
    assert checked == len(description.description.links)


def test_a_joint_that_does_not_move_sends_nothing(scene):
    rig = rig_file.load("bimanual")
    description = rig_description(rig)
    figure = Figure(scene, description, "/still")
    pose = {name: 0.1 for side, part in rig.parts for name in rig.joint_names(side, part)}
    figure.show(pose)
    before = [hinge.frame.wxyz for hinge in figure._hinges]
    figure.show({name: angle + 1e-5 for name, angle in pose.items()})
    assert all(a is b for a, b in zip(before, [h.frame.wxyz for h in figure._hinges], strict=True))
