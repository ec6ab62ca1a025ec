"""What users install: a wheel with everything in it, and a ROS package of the same contents."""

import email
import os
import re
import runpy
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from collections import defaultdict
from pathlib import Path

import pytest

from xlvla import __version__, catalog, graph, rig_file
from xlvla_cli.app import EXTRAS

ROOT = Path(__file__).parents[1]
ROS_PACKAGE = ROOT / "ros2_ws" / "src" / "xlvla"

in_a_checkout = pytest.mark.skipif(not ROS_PACKAGE.is_dir(), reason="not in a checkout")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
    ]
    subprocess.run([*pip, "--wheel-dir", folder, ROOT], check=True, timeout=300, cwd=folder)
    return next(folder.glob("xlvla-*.whl"))


@in_a_checkout
def test_the_wheel_holds_rigs_descriptions_launch_files_and_weights(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "urdf").rglob("*.urdf"):
        assert f"xlvla/share/{path.relative_to(ROOT)}" in names
    for path in [
        path
        for folder in ("rigs", "weights")
        for path in (ROOT / "src").glob(f"*/{folder}/*")
        if path.is_file()
    ]:
        assert str(path.relative_to(ROOT / "src")) in names
    assert {
        f"xlvla/share/launch/{name}"
        for name in ("bimanual.launch.py", "teleop.launch.py", "bimanual.rviz")
    } <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {
        f"{path.parent.name}/py.typed" for path in (ROOT / "src").glob("*/__init__.py")
    } <= names
    assert not [name for name in names if name.startswith(("tests/", "ros2_ws/"))]


@in_a_checkout
def test_the_wheel_works_away_from_the_checkout(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "from xlvla import catalog, rig_file, robot; "
        "assert not [fault for hand in catalog.hands().values() for fault in hand.faults()]; "
        "print(catalog.__file__, len(robot.rig_description(rig_file.load('bimanual')).text))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        timeout=60,
    )
    assert done.stdout.startswith(str(tmp_path)), done.stderr


@pytest.fixture(scope="module")
def requirements(wheel):
    with zipfile.ZipFile(wheel) as files:
        name = next(name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
        entries = email.message_from_bytes(files.read(name)).get_all("Requires-Dist") or []
    return [entry.replace('"', "'") for entry in entries]


def test_the_command_line_starts_without_what_any_extra_brings():
    """`pip install xlvla` and `xlvla[drivers]` each lack most of these libraries."""
    without = f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {sorted(EXTRAS)!r}:
            raise ModuleNotFoundError(f"No module named '{{name}}'", name=name)

sys.meta_path.insert(0, Missing())
sys.argv = ["xlvla", "--help"]
from xlvla_cli.app import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", without], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "estop" in done.stdout


@in_a_checkout
def test_the_extra_all_is_every_other_extra_but_those_of_few(requirements):
    by_extra = defaultdict(set)
    for entry in requirements:
        what, _, marker = entry.partition(";")
        by_extra["".join(re.findall(r"extra == '(\w+)'", marker))].add(what.strip())
    others = set(by_extra) - {"", "all", "dev", "docs", "ray", "peers", "trackio", "wandb"}
    assert by_extra["all"] == set().union(*(by_extra[name] for name in others))
    assert set(EXTRAS.values()) <= set(by_extra), "a command asks for an extra that is none"


@in_a_checkout
def test_every_requirement_is_in_the_tested_set(requirements):
    pinned = set(
        re.findall(r"^([a-z0-9-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    )
    assert {re.split(r"[\[<>=!~; ]", entry)[0].lower() for entry in requirements} - {
        "xlvla"
    } <= pinned


@in_a_checkout
def test_the_ros_package_bears_the_same_version_and_licence():
    package = ET.parse(ROS_PACKAGE / "package.xml").getroot()
    assert (package.get("format"), package.findtext("version"), package.findtext("license")) == (
        "3",
        __version__,
        "Apache-2.0",
    )


@in_a_checkout
def test_the_ros_package_links_to_the_same_files():
    for name in ("xlvla", "xlvla_cli", "xlvla_drivers", "xlvla_sim", "xlvla_data", "xlvla_policy"):
        assert (ROS_PACKAGE / name).resolve() == ROOT / "src" / name
    for name in ("launch", "urdf", "LICENSE"):
        assert (ROS_PACKAGE / name).resolve() == ROOT / name


@in_a_checkout
def test_the_ros_package_installs_every_node_of_the_graph(monkeypatch):
    arguments = {}
    monkeypatch.chdir(ROS_PACKAGE)
    monkeypatch.setattr("setuptools.setup", lambda **given: arguments.update(given))
    runpy.run_path("setup.py")
    scripts = dict(
        entry.replace(" ", "").split("=") for entry in arguments["entry_points"]["console_scripts"]
    )
    for spec in graph.nodes(rig_file.load("bimanual")):
        assert scripts[f"{spec.package}_{spec.executable}"] == f"{spec.module}:main"
    installed = {file for _, files in arguments["data_files"] for file in files}
    assert {
        "launch/bimanual.launch.py",
        "launch/teleop.launch.py",
        "launch/bimanual.rviz",
        "package.xml",
        "urdf/arms/xarm7/xarm7.urdf",
    } <= installed
    assert {f"rigs/{path.name}" for path in catalog.rigs().values()} <= set(
        arguments["package_data"]["xlvla"]
    )
    assert set(arguments["packages"]) >= {
        "xlvla",
        "xlvla.hands",
        "xlvla_sim.nodes",
        "xlvla_policy.nodes",
    }
