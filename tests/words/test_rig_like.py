"""Rig files that are like another: what they take over, what they say instead, and what is wrong
with them.
"""

from dataclasses import replace

import pytest

from xlvla import rig_file
from xlvla.errors import RigError, XlvlaError


def write(folder, name, text):
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def test_what_a_file_does_not_say_is_as_in_the_other(tmp_path):
    path = write(
        tmp_path,
        "mine",
        "name: mine\nlike: bimanual\nsim: {task: stack_cans}\nsides: {left: {hand: {type: "
        "inspire}}}\n",
    )
    base = rig_file.load("bimanual")
    mine = rig_file.load(path)
    assert (
        mine.sides["right"] == base.sides["right"]
        and mine.sides["left"].arm == base.sides["left"].arm
    )
    assert mine.sides["left"].hand.type == "inspire"
    assert (
        mine.sim == replace(base.sim, task="stack_cans")
        and mine.cameras == base.cameras
        and mine.motion == base.motion
    )


def test_an_arm_of_another_type_has_the_others_place_and_its_own_home(tmp_path):
    text = "name: mine\nlike: bimanual_emulated\npolicy: null\nsides: {left: {arm: {type: fr3}}}\n"
    base = rig_file.load("bimanual_emulated").sides["left"].arm
    mine = rig_file.load(write(tmp_path, "mine", text))
    arm = mine.sides["left"].arm
    assert arm.xyz == base.xyz and arm.home == {}
    assert arm.device.emulated and arm.device.rate_hz == base.device.rate_hz
    assert mine.home("left")["left_arm_fr3_joint4"] < -0.2


def test_nothing_may_stand_over_something(tmp_path):
    assert (
        rig_file.load(write(tmp_path, "mine", "name: mine\nlike: bimanual\npolicy: null\n")).policy
        is None
    )


def test_a_file_may_be_like_one_beside_it_which_is_like_another(tmp_path):
    write(tmp_path, "middle", "name: middle\nlike: bimanual\nsim: {seed: 7}\n")
    mine = rig_file.load(
        write(tmp_path, "mine", "name: mine\nlike: middle.yaml\nsim: {speed: 0.5}\n")
    )
    assert (mine.name, mine.sim.seed, mine.sim.speed) == ("mine", 7, 0.5)


def test_what_is_wrong_names_the_file(tmp_path):
    cases = {
        "name: mine\nlike: bimanul\n": "mine.yaml: like: unknown rig 'bimanul'.*did you mean "
        "'bimanual'",
        "name: mine\nlike: nowhere.yaml\n": "mine.yaml: like: no rig file at .*nowhere.yaml",
        "name: mine\nlike: mine.yaml\n": "mine.yaml: like: .*mine.yaml is like this file in turn",
        "name: mine\nlike: [\n": "mine.yaml is not valid YAML",
    }
    for text, line in cases.items():
        with pytest.raises(XlvlaError, match=line):
            rig_file.load(write(tmp_path, "mine", text))
    with pytest.raises(RigError, match=r"mine.yaml: sim: unknown key 'taks'"):
        rig_file.load(
            write(tmp_path, "mine", "name: mine\nlike: bimanual\nsim: {taks: stack_cans}\n")
        )


def test_who_drives_is_checked_with_everything_else(tmp_path):
    text = (
        "name: mine\nlike: bimanual\nsim: null\nteleop: {source: vision_por, scale: 0, scripted: "
        "true}\n"
    )
    with pytest.raises(RigError) as caught:
        rig_file.load(write(tmp_path, "mine", text))
    said = "\n".join(caught.value.faults)
    assert (
        "did you mean 'vision_pro'" in said
        and "teleop.scale: must be from 0.05 to 1" in said
        and "only a simulation" in said
    )


@pytest.mark.parametrize(
    "name",
    ["teleop_scripted", "teleop_vision_pro", "teleop_webxr", "teleop_leader", "teleop_keyboard"],
)
def test_a_rig_driven_by_hand_has_no_policy_and_survives_saving(name, tmp_path):
    loaded = rig_file.load(name)
    assert loaded.policy is None and loaded.teleop is not None
    assert rig_file.load(loaded.save(tmp_path / "saved.yaml")) == loaded
