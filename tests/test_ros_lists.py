"""The lists by which the ROS way installs: everything that nodes import is in one of them."""

import ast
import re
import sys
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
ROS = ROOT / "ros2_ws"

pytestmark = pytest.mark.skipif(not ROS.is_dir(), reason="not in a checkout")

FOUND_BY_NAME = (
    "*/nodes/*.py",
    "*/ros/sources/*.py",
    "xlvla_drivers/arms/*.py",
    "xlvla_drivers/hands/*.py",
    "xlvla_drivers/cameras/*.py",
    "xlvla_drivers/teleop/*.py",
    "xlvla_drivers/emulators/*.py",
    "xlvla_policy/policies/*.py",
    "xlvla_sim/tasks/*.py",
    "xlvla_cli/panel/*.py",
)
"""Nodes, what a rig chooses by name, and the page that a launch file serves."""

USED_WHERE_INSTALLED = {"mediapipe", "pyrealsense2", "unitree_sdk2py", "pyspacemouse"}
WITH_AN_EXTRA = {"onnxruntime", "onnx"}
"""An exported policy is an engine of its own."""

DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "grpc": "grpcio",
    "mcap_ros2": "mcap-ros2-support",
    "serial": "pyserial",
    "xarm": "xarm-python-sdk",
}
"""Distributions that are not called as the module that they bring."""

ROSDEP = {
    "cv2": "python3-opencv",
    "yaml": "python3-yaml",
    "pinocchio": "pinocchio",
    "eigenpy": "eigenpy",
}
"""rosdep's keys that are not `python3-` and the module's name."""


def module_file(name: str) -> Path | None:
    """The file of one of our modules; None for anything else."""
    path = SOURCE / Path(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def imported(path: Path) -> frozenset[str]:
    """Everything that a file imports, also within functions, but not for types alone."""
    names: set[str] = set()
    tree = ast.parse(path.read_text())
    for_types: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for_types.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def needed() -> set[str]:
    """The top-level modules of others that nodes import, directly or through ours."""
    waiting = [path for pattern in FOUND_BY_NAME for path in SOURCE.glob(pattern)]
    seen: set[Path] = set()
    others: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        for name in imported(path):
            top = name.partition(".")[0]
            if (SOURCE / top).is_dir():
                found = module_file(name)
                waiting += [found] if found else []
            elif top not in sys.stdlib_module_names:
                others.add(top)
    return others - USED_WHERE_INSTALLED - WITH_AN_EXTRA


def requirements(name: str) -> dict[str, str]:
    """Requirement by the distribution's name, of a requirements file."""
    lines = (ROS / name).read_text().splitlines()
    entries = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    without_markers = [entry.partition(";")[0].strip() for entry in entries]
    return {re.split(r"[<>=!~\[ ]", entry)[0].lower(): entry for entry in without_markers}


def by_pip() -> dict[str, str]:
    return requirements("requirements.txt") | requirements("requirements-no-deps.txt")


def by_rosdep() -> set[str]:
    package = ET.parse(ROS / "src" / "xlvla" / "package.xml").getroot()
    return {element.text or "" for element in package.findall("exec_depend")}


def test_everything_that_nodes_import_is_in_a_list_of_the_ros_way():
    pip = by_pip()
    rosdep = by_rosdep()
    missing: list[str] = []
    for module in sorted(needed()):
        name = DISTRIBUTIONS.get(module, module.replace("_", "-"))
        key = ROSDEP.get(module, f"python3-{module}")
        if not (module in rosdep or key in rosdep or name in pip):
            missing.append(module)
    assert not missing


def test_the_ros_way_asks_for_the_versions_that_the_wheel_asks_for():
    wheel = (ROOT / "pyproject.toml").read_text()
    asked = dict(re.findall(r'"([a-z0-9-]+)(?:\[\w+\])?(>=[0-9.]+[^"]*)"', wheel))
    differing = {
        name: (entry, asked[name])
        for name, entry in by_pip().items()
        if name in asked and name != "numpy" and entry != f"{name}{asked[name]}"
    }
    assert not differing


def test_the_images_install_every_list_and_run_as_a_user():
    for name in ("Dockerfile.ros", "Dockerfile.pip"):
        text = (ROOT / "docker" / name).read_text()
        users = re.findall(r"^USER (\w+)$", text, re.MULTILINE)
        assert users and users[-1] != "root", name
        assert "libgomp1" in text, name
    ros = (ROOT / "docker" / "Dockerfile.ros").read_text()
    # What is true of one distribution is true of all that the workflow builds.
    instructions = [line for line in ros.splitlines() if not line.startswith(("#", "ARG"))]
    assert not re.search(r"humble|jazzy|kilted|lyrical|ubuntu", "\n".join(instructions))
    for path in ROS.glob("requirements*.txt"):
        assert f"-r ros2_ws/{path.name}" in ros
        assert f"-r ros2_ws/{path.name}" in (ROOT / "Makefile").read_text()
        assert f"-r ros2_ws/{path.name}" in (ROOT / "docs" / "start" / "install.md").read_text()
