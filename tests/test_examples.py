"""Every example as its reader runs it: a process of its own in an empty folder, its output read."""

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import yaml

from xlvla import catalog, rig_file, topics
from xlvla.codec import Codec

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("[0-9]*.py"))


@pytest.fixture
def run(tmp_path):
    """Runs an example by its number; the lines that it printed."""

    def of(number: str, *words: str) -> list[str]:
        (script,) = EXAMPLES.glob(f"{number}_*.py")
        done = subprocess.run(
            [sys.executable, str(script), *words],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return of


def numbers(line: str) -> list[float]:
    return [float(word) for word in re.findall(r"-?\d+\.?\d*", line)]


def test_examples_are_numbered_and_the_table_names_each():
    assert [script.name[:2] for script in SCRIPTS] == [f"{n:02}" for n in range(1, 9)]
    table = (EXAMPLES / "README.md").read_text()
    assert all(f"`{script.name}`" in table for script in SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_an_example_says_on_top_what_it_prints(script):
    lines = script.read_text().splitlines()
    docstring = script.read_text().split('"""')[1]
    assert lines[0].startswith('"""') and re.search(r"\b[Pp]rints?\b", docstring)
    assert "def main() -> None:" in lines


def test_the_files_for_ros2_control_name_the_joints_and_topics_of_their_rig():
    folder = EXAMPLES / "ros2_control"
    rig = rig_file.load(folder / "bench.yaml")
    names = list(rig.joint_names("left", "hand"))
    tag = ET.parse(folder / "hand.ros2_control.xacro").getroot().find("ros2_control")
    assert [joint.get("name") for joint in tag.findall("joint")] == names
    said = {entry.get("name"): entry.text for entry in tag.findall("hardware/param")}
    place = {"side": "left", "part": "hand"}
    assert said["joint_commands_topic"] == topics.COMMAND.format(**place)
    assert said["joint_states_topic"] == topics.PART_JOINT_STATES.format(**place)
    controllers = yaml.safe_load((folder / "controllers.yaml").read_text())
    assert controllers["left_hand_controller"]["ros__parameters"]["joints"] == names


def test_a_pinch_stays_a_pinch_on_every_hand(run):
    latent, pose, *hands = run("01")
    assert latent == "latent: 32 numbers for 12 joints of an xhand"
    assert numbers(pose)[0] < 5
    found = {line.split()[0]: numbers(line)[0] for line in hands}
    assert set(found) == set(Codec.load().hands)
    assert max(found.values()) < 8


def test_a_recorded_grasp_is_written_for_another_hand(run, tmp_path):
    lines = run("02")
    assert lines[0] == "120 frames, 12 hand joints -> 16"
    assert numbers(lines[1])[0] < 1 and numbers(lines[2])[0] < 0.3 and numbers(lines[3])[0] < 0.5
    assert lines[4] == "frames out of reach: 0, slowed down: 0"
    recorded, written = (
        path.read_text().splitlines()
        for path in (EXAMPLES / "recorded_grasp.csv", tmp_path / "retargeted_grasp.csv")
    )
    assert len(written) == len(recorded) == 121
    assert written[0].split(",")[:8] == recorded[0].split(",")[:8]
    assert np.loadtxt(written[1:], delimiter=",").shape == (120, 1 + 7 + 16)


@pytest.mark.long  # `codec/test_newcomer.py` and `test_new_hand.py` teach hands with fewer steps
def test_a_hand_in_a_folder_learns_to_pinch(run, tmp_path):
    title, faults, written, *rows = run("03")
    assert title.startswith("Tripod") and faults == "faults: none"
    assert "tripod" in written and (tmp_path / "tripod.safetensors").is_file()
    distances = [numbers(row)[:2] for row in rows]
    assert [distance[0] for distance in distances] == [133, 67, 4]
    tripod = [distance[1] for distance in distances]
    assert tripod == sorted(tripod, reverse=True) and tripod[-1] < 20
    assert "tripod" not in catalog.hands()


def test_one_arm_stacks_a_can(run):
    arm, hand, nodes, ended = run("04")
    assert arm == "right arm: 7 joints, right_arm_joint1 to right_arm_joint7"
    assert hand.startswith("right hand: 6 joints")
    assert nodes == "nodes: sim, joint_states, motion"
    assert ended.startswith("Stack the cheese can on top of the salt. success after ")


def test_an_emulated_hand_closes_loses_its_plug_and_comes_back(run, tmp_path):
    *closing, unplugged, back = run("05")
    assert len(closing) == 11
    assert numbers(closing[0])[2:6] == [0, 0, 0, 0]
    assert min(numbers(closing[-1])[2:6]) > 0.5
    assert unplugged == "unplugged: emulated_right_hand is gone: the port hung up"
    assert min(numbers(back)[2:6]) > 0.8
    assert not list(tmp_path.iterdir()), "an emulator takes its port away with it"


def test_the_expert_earns_the_whole_reward_in_gymnasium(run):
    lines = run("06")
    assert lines[:2] == ["task: Push the two tomato cans together.", "action: 32 joints"]
    assert lines[2:6] == [
        "observation: left_arm, 7 joints",
        "observation: left_hand, 12 joints",
        "observation: right_arm, 7 joints",
        "observation: right_hand, 6 joints",
    ]
    assert [numbers(line)[1] for line in lines[6:10]] == [0.25] * 4
    assert lines[10] == "return 1.00, success True"


@pytest.mark.long
def test_a_policy_is_trained_and_evaluated(run, tmp_path):
    pytest.importorskip("torch")
    lines = run("07", "--quick")
    assert lines[-1] in ("xhand: 0 of 1", "xhand: 1 of 1")
    assert (tmp_path / "out" / "policy.safetensors").is_file()
    assert json.loads((tmp_path / "out/evaluation/results.json").read_text())["all"]["trials"] == 1
    assert len(list((tmp_path / "out" / "demonstrations").rglob("*.mp4"))) == 2


@pytest.mark.long  # `graph/test_own_policy_node.py` runs a policy of one's own behind the graph
def test_a_policy_of_ones_own_waves_a_simulated_arm(run):
    pytest.importorskip("rclpy")
    lines = run("08")
    assert "chunk: 40 points, 13 joints" in lines
    moved = {line.split(": ")[0]: numbers(line)[-1] for line in lines if line.startswith("right_")}
    assert len(moved) == 13
    assert 0.3 < moved["right_arm_joint7"] < 0.9
    assert max(moved[f"right_arm_joint{number}"] for number in range(1, 7)) < 0.05
    assert moved["right_hand_index_proximal_joint"] > 0.3
