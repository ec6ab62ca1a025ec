"""The rules of the house, read from the imports of every file."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
FILES = sorted(path for path in SOURCE.rglob("*.py") if "__pycache__" not in path.parts)
ROOMS = {"xlvla", "xlvla_drivers", "xlvla_sim", "xlvla_data", "xlvla_policy", "xlvla_cli"}

MAY_IMPORT = {
    "xlvla": {"xlvla"},
    "xlvla_drivers": {"xlvla", "xlvla_drivers"},
    "xlvla_sim": {"xlvla", "xlvla_sim"},
    "xlvla_data": {"xlvla", "xlvla_data"},
    "xlvla_policy": {"xlvla", "xlvla_policy", "xlvla_data"},
    "xlvla_cli": ROOMS,
}
ROS = re.compile(
    r"(rclpy|launch|launch_ros|ament_index_python|rcl_interfaces|builtin_interfaces|std_srvs|\w+_msgs)(\.|$)"
)
BANNED = {"utils", "util", "common", "helpers", "helper", "manager", "managers", "misc"}
DISTRIBUTIONS = {
    "yaml": "pyyaml",
    "cv2": "opencv-python-headless",
    "serial": "pyserial",
    "PIL": "pillow",
    "grpc": "grpcio",
    "huggingface_hub": "huggingface-hub",
    "pink": "pin-pink",
    "foxglove": "foxglove-sdk",
    "mcap_ros2_support_fast": "mcap-ros2-support-fast",
    "small_mcap": "small-mcap",
    "mcap_ros2": "mcap-ros2-support",
    "xarm": "xarm-python-sdk",
    "collada": "pycollada",
    "dex_retargeting": "dex-retargeting",
    "pinocchio": "pin",
    "eigenpy": "pin",
    "ament_index_python": "ros-rclpy",
    "builtin_interfaces": "ros-rclpy",
    "rcl_interfaces": "ros-rclpy",
}
COMES_WITH_ROS_ONLY = {"launch", "launch_ros"}
VENDORS = {"pyrealsense2", "unitree_sdk2py", "xhand_controller", "pxdex"}
"""Used where they are installed, by hand: wheels for few machines, or none on any index."""


def label(path):
    return str(path.relative_to(SOURCE))


def module(path):
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def imports(path):
    """Every module a file imports, at whatever depth, with the imported names that may be modules
    themselves.
    """
    package = module(path) if path.name == "__init__.py" else module(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            origin = ".".join(filter(None, (base, node.module)))
            yield origin
            yield from (f"{origin}.{name.name}" for name in node.names)


def within(path, *folders):
    return any(part in folders for part in path.relative_to(SOURCE).parts[1:-1])


def imported(forbidden, files):
    """What the files import of the forbidden, by file; empty when a rule holds."""
    found = {label(path): {name for name in imports(path) if forbidden(name)} for path in files}
    return {path: names for path, names in found.items() if names}


def room(path):
    return path.relative_to(SOURCE).parts[0]


def root(name):
    return name.split(".")[0]


def test_there_are_files_in_every_room():
    assert {room(path) for path in FILES} == ROOMS


@pytest.mark.parametrize("name", sorted(ROOMS))
def test_rooms_import_only_along_the_arrows(name):
    files = [path for path in FILES if room(path) == name]
    assert not imported(lambda other: root(other) in ROOMS - MAY_IMPORT[name], files)


def test_ros_is_spoken_only_in_nodes_and_the_ros_package():
    assert not imported(ROS.match, [path for path in FILES if not within(path, "ros", "nodes")])


def test_only_nodes_and_commands_use_the_ros_package():
    files = [
        path for path in FILES if not within(path, "ros", "nodes") and room(path) != "xlvla_cli"
    ]
    assert not imported(lambda name: name.startswith("xlvla.ros"), files)


def test_torch_lives_only_in_the_policy():
    files = [path for path in FILES if room(path) != "xlvla_policy"]
    assert not imported(lambda name: root(name) == "torch" or name == "safetensors.torch", files)


def test_words_know_neither_simulators_nor_device_sdks():
    files = [path for path in FILES if room(path) == "xlvla"]
    assert not imported(
        lambda name: (
            root(name)
            in {
                "mujoco",
                "xarm",
                "serial",
                "can",
                "pymodbus",
                "dynamixel_sdk",
                "cyclonedds",
                *VENDORS,
            }
        ),
        files,
    )


def test_nobody_imports_a_node():
    assert not imported(lambda name: re.match(r"xlvla\w*\.nodes\.", name), FILES)


def circles(arrows):
    """Groups of modules that import one another, directly or in a ring (Tarjan's strongly connected
    components).
    """
    order = {}
    low = {}
    stack = []
    found = []

    def visit(name):
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in arrows.get(name, ()):
            if other not in order:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], order[other])
        if low[name] == order[name]:
            ring = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(ring) > 1:
                found.append(sorted(ring))

    for name in arrows:
        if name not in order:
            visit(name)
    return found


def test_no_modules_import_one_another_in_a_circle():
    modules = {module(path): path for path in FILES}
    arrows = {
        name: sorted(set(imports(path)) & set(modules) - {name}) for name, path in modules.items()
    }
    assert not circles(arrows)


def test_a_modules_name_says_what_it_is_about():
    assert not [
        label(path)
        for path in FILES
        if BANNED & {part.removesuffix(".py") for part in path.relative_to(SOURCE).parts}
    ]


def test_every_node_has_a_main():
    for path in SOURCE.glob("*/nodes/*.py"):
        if path.name != "__init__.py":
            names = {
                node.name
                for node in ast.parse(path.read_text()).body
                if isinstance(node, ast.FunctionDef)
            }
            assert "main" in names, label(path)


def test_what_is_imported_is_declared():
    declared = (ROOT / "pyproject.toml").read_text()
    for name in sorted(
        {name.split(".")[0] for path in FILES for name in imports(path)}
        - ROOMS
        - COMES_WITH_ROS_ONLY
        - VENDORS
    ):
        if name in sys.stdlib_module_names:
            continue
        distribution = DISTRIBUTIONS.get(
            name, "ros-" + name.replace("_", "-") if ROS.match(name) else name
        )
        assert re.search(rf'"{re.escape(distribution)}[\[><="]', declared), (
            f"{name} is imported, {distribution} not declared"
        )
