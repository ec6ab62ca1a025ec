"""The command line as a user meets it: real processes, good and bad input."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
import typer
import yaml

import command_line
import xlvla_cli
from xlvla import __version__, catalog, rig_file, urdf
from xlvla.robot import arm_with_hand
from xlvla_cli.commands import register_all


def output(*arguments, columns=200):
    done = command_line.run(*arguments, columns=columns)
    assert done.returncode == 0, done.stderr
    return done.stdout


def complaint(*arguments):
    """What a wrong command prints; without a traceback and with exit code 2."""
    done = command_line.run(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and done.stdout == ""
    return done.stderr


def test_help_names_every_command_with_what_it_does():
    text = output("--help")
    names = set()
    app = typer.Typer()
    register_all(xlvla_cli.__name__, xlvla_cli.__path__, app)
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        line = re.search(rf"^\W*{name} +(\w.*)$", text, re.MULTILINE)
        assert line, f"help does not name '{name}'"
        assert line[1].split()[:2] == (command.help or "").split()[:2]
        names.add(name)
    assert {"check", "run", "eval", "train", "bench", "codec", "data"} <= names


def test_help_loads_nothing_heavy():
    heavy = ("torch", "mujoco", "pinocchio", "rclpy", "cv2", "matplotlib")
    code = (
        "import atexit, sys; sys.argv = ['xlvla', '--help']; "
        f"atexit.register(lambda: print('LOADED', *[m for m in {heavy} if m in sys.modules])); "
        "from xlvla_cli.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "LOADED"


def test_the_version_is_the_packages():
    done = command_line.run("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"xlvla {__version__}")


def test_a_process_ends_with_the_code_and_the_line_of_its_mistake():
    done = command_line.run("check", "nowhere.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == ["xlvla: no rig file at nowhere.yaml"]


@pytest.mark.parametrize("side", ["left", "right"])
def test_urdf_prints_the_arm_with_the_hand(side):
    text = output("urdf", "--arm", "xarm7", "--hand", "xhand", "--side", side)
    assert text == arm_with_hand(catalog.arm("xarm7"), catalog.hand("xhand"), side).text
    assert len(urdf.parse(text).description.free_joints) == 19


def test_urdf_of_a_hand_alone_is_its_file():
    assert (
        output("urdf", "--hand", "inspire", "--side", "left").rstrip()
        == catalog.hand("inspire").urdf_path("left").read_text().rstrip()
    )


def test_urdf_of_a_rig_has_both_arms_in_one_world():
    description = urdf.parse(output("urdf", "--rig", "bimanual")).description
    assert description.root == "world"
    assert len(description.free_joints) == 2 * (7 + 12)


def test_list_shows_every_entry():
    text = output("list")
    for name in (
        *catalog.hands(),
        *catalog.arms(),
        *catalog.humanoids(),
        *catalog.rigs(),
        *catalog.tasks(),
        *catalog.policies(),
    ):
        assert name in text


def test_show_prints_nodes_joints_topics_and_services():
    text = output("show", "bimanual", "--left-hand", "inspire")
    for word in (
        "/policy",
        "part='xlvla'",
        "Inspire RH56DFX",
        "thumb_proximal_yaw_joint",
        "/left/hand/command",
        "/motion/estop",
        "JointTrajectory",
    ):
        assert word in text


def test_show_cuts_nothing_off_in_a_narrow_terminal():
    assert "…" not in output("show", columns=80)


def test_check_says_ok_for_a_rig_that_can_run(tmp_path):
    path = rig_file.with_choices(rig_file.load("bimanual"), policy="none").save(
        tmp_path / "still.yaml"
    )
    assert output("check", str(path)).startswith(
        "bimanual: OK (3 nodes, 38 joints, cameras: front)"
    )


def test_check_prints_every_fault_at_once(tmp_path):
    document = yaml.safe_load(catalog.rigs()["bimanual"].read_text())
    document["sides"]["left"]["hand"]["type"] = "xhnad"
    document["motoin"] = {}
    document["sim"]["task"] = "push_can"
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(document))
    lines = complaint("check", str(path)).splitlines()
    assert len(lines) == 3
    assert (
        "did you mean 'motion'?" in lines[0]
        and "did you mean 'xhand'?" in lines[1]
        and "did you mean 'push_cans'?" in lines[2]
    )


def test_check_finds_a_missing_checkpoint(tmp_path):
    path = rig_file.with_choices(
        rig_file.load("bimanual"), checkpoint=str(tmp_path / "none.safetensors")
    ).save(tmp_path / "rig.yaml")
    assert f"no file at {tmp_path}/none.safetensors" in complaint("check", str(path))


def test_check_wants_an_exported_folder_for_onnx(tmp_path):
    path = rig_file.load("bimanual").save(tmp_path / "rig.yaml")
    path.write_text(path.read_text().replace("engine: auto", "engine: onnx"))
    assert "xlvla policy export" in complaint("check", str(path))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("check", "bimanul"),
            f"unknown rig 'bimanul': known are {', '.join(catalog.rigs())}; did you mean "
            "'bimanual'?",
        ),
        (("check", "nowhere.yaml"), "no rig file at nowhere.yaml"),
        (("show", "--right-hand", "ability2"), "did you mean 'ability'?"),
        (("show", "--policy", "xlvl"), "unknown policy 'xlvl'"),
        (
            ("urdf", "--hand", "paxni"),
            f"unknown hand 'paxni': known are {', '.join(catalog.hands())}; did you mean 'paxini'?",
        ),
        (
            ("urdf", "--arm", "xarm6"),
            f"unknown arm 'xarm6': known are {', '.join(catalog.arms())}; did you mean 'xarm7'?",
        ),
        (
            ("urdf", "--hand", "xhand", "--side", "rigth"),
            "unknown side 'rigth': known are left, right; did you mean 'right'?",
        ),
        (("urdf",), "say either --rig NAME"),
        (("urdf", "--rig", "bimanual", "--hand", "xhand"), "say either --rig NAME"),
    ],
)
def test_a_users_mistake_gets_one_line(arguments, line):
    text = complaint(*arguments)
    assert line in text and len(text.splitlines()) == 1


def test_an_unknown_command_is_refused():
    assert "No such command" in complaint("lst")


def test_what_urdf_prints_is_xml_a_pipe_can_close_early():
    first = subprocess.run(
        f"{command_line.XLVLA} urdf --rig bimanual | head -1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert first.stdout.startswith("<?xml") and "Traceback" not in first.stderr
    assert ET.fromstring(output("urdf", "--rig", "bimanual")).tag == "robot"
