"""An arm without a hand and a hand on a bench are rigs like any other; what needs both says so."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import xlvla_cli
from xlvla import graph, rig_file, robot
from xlvla.errors import RigError, XlvlaError
from xlvla.kinematics import Kinematics
from xlvla_cli.commands import register_all
from xlvla_drivers.motion.rig_motion import RigMotion

BARE = {
    "name": "bare",
    "sides": {
        "left": {
            "arm": {"type": "xarm7", "xyz": [0.0, 0.4, 0.0], "home": {"joint4": 0.6}},
            "hand": {"type": "none"},
        },
        "right": {
            "arm": {"type": "none", "xyz": [0.1, -0.6, 0.3]},
            "hand": {"type": "ability"},
        },
    },
    "policy": None,
}
"""An arm without a hand on the left, a hand on a bench on the right."""

FRONT = {"xyz": [1.08, 0.0, 0.66], "target": [0.36, 0.0, 0.06]}

TICK_S = 0.005

app = typer.Typer()
register_all(xlvla_cli.__name__, xlvla_cli.__path__, app)


def rig_of(**changes):
    return rig_file.from_document({**copy.deepcopy(BARE), **changes}, "bare.yaml")


def faults(document):
    with pytest.raises(RigError) as caught:
        rig_file.from_document(document, "bare.yaml")
    return caught.value.faults


def test_a_rig_has_the_parts_that_are_there(tmp_path):
    rig = rig_of()
    assert rig.parts == (("left", "arm"), ("right", "hand"))
    assert rig.joint_names("left", "hand") == () == rig.joint_names("right", "arm")
    assert rig_file.load(rig.save(tmp_path / "bare.yaml")) == rig
    devices = {"device": {"emulated": True}}
    document = copy.deepcopy(BARE)
    document["sides"]["left"]["arm"] |= devices
    document["sides"]["right"]["hand"] |= devices
    emulated = rig_file.from_document({**document, "sim": None}, "bare.yaml")
    names = [spec.name for spec in graph.nodes(emulated)]
    assert names == ["emulators", "left_arm", "right_hand", "joint_states", "motion"]


def test_a_hand_on_a_bench_stands_where_the_rig_says():
    rig = rig_of()
    description = robot.rig_description(rig)
    moving = Kinematics(description, rig.joint_names("right", "hand"))
    root = moving.fk(np.zeros(6), ["right_hand_base"])["right_hand_base"]
    alone = Kinematics(rig.hand("right").urdf_model("right"), rig.hand("right").joints)
    own = alone.fk(np.zeros(6), ["base"])["base"]
    assert root[:3, 3] == pytest.approx(own[:3, 3] + [0.1, -0.6, 0.3])


@pytest.mark.parametrize("command", ["check", "show"])
def test_the_commands_take_it(command, tmp_path):
    path = rig_of().save(tmp_path / "bare.yaml")
    shown = CliRunner().invoke(app, [command, str(path)])
    assert shown.exit_code == 0, shown.output
    assert "13 joints" in shown.output or "right hand" in shown.output


@pytest.mark.parametrize("table_m", [0.0, None])
@pytest.mark.parametrize("sides", [("left", "right"), ("left",), ("right",)])
def test_motion_plays_chunks_on_the_parts_there_are(sides, table_m):
    own = {side: BARE["sides"][side] for side in sides}
    rig = rig_of(sides=own, motion={"table_m": table_m})
    motion = RigMotion(rig)
    start = {side: np.array(list(rig.start(side).values())) for side in sides}
    for side, player in motion.players.items():
        frames = start[side] + np.linspace(0.0, 0.09, 40)[:, None]
        player.offer(frames, player.joints, 0.0, 20.0, 0.0, measured=start[side])
    commands = {}
    for tick in range(400):
        commands = motion.step(tick * TICK_S, TICK_S, start)
    for side in sides:
        assert (commands[side] - start[side]).max() == pytest.approx(0.09, abs=0.01)


def test_a_side_with_neither_and_a_device_of_nothing_are_faults():
    document = copy.deepcopy(BARE)
    document["sides"]["left"]["arm"] = {"type": "none"}
    (fault,) = faults(document)
    assert fault == "bare.yaml: sides.left: there is neither an arm nor a hand: leave the side out"
    document = copy.deepcopy(BARE)
    document["sides"]["left"]["hand"]["device"] = {"address": "/dev/ttyUSB0"}
    (fault,) = faults(document)
    assert fault == "bare.yaml: sides.left.hand.device: there is no hand, so leave its device out"


def test_a_scripted_operator_needs_both():
    teleop = {"source": "topics", "scripted": True}
    (fault,) = faults({**copy.deepcopy(BARE), "teleop": teleop, "sim": {"task": "stack_cans"}})
    assert fault.endswith(
        "needs an arm with a hand on every side; the left side of rig 'bare' has no hand"
    )


NEED_BOTH = {
    "eval": ["eval", "--rig", "{rig}", "--trials", "1"],
    "expert": ["eval", "--rig", "{rig}", "--policy", "expert", "--trials", "1"],
    "collect": ["sim", "collect", "--rig", "{rig}", "--out", "{out}"],
    "retarget": ["retarget", "{out}", "--to", "xhand", "--rig", "{rig}", "--out", "{out}"],
}


@pytest.mark.parametrize("case", NEED_BOTH)
def test_what_needs_an_arm_with_a_hand_says_so_in_one_line(case, tmp_path):
    path = rig_of(sim={}, policy={}).save(tmp_path / "bare.yaml")
    words = [word.format(rig=path, out=tmp_path / "out") for word in NEED_BOTH[case]]
    ended = CliRunner().invoke(app, words)
    assert isinstance(ended.exception, XlvlaError), ended.output
    assert "needs an arm with a hand on every side; the left side of rig" in str(ended.exception)


def test_the_policy_of_latents_is_refused_before_anything_starts(tmp_path):
    path = rig_of(policy={}, cameras={"front": FRONT}).save(tmp_path / "bare.yaml")
    ended = CliRunner().invoke(app, ["check", str(path)])
    assert "policy: this policy needs an arm with a hand on every side" in str(ended.exception)
