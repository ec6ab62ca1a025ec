"""The launch file against the graph; needs `launch` and `launch_ros`, which only a ROS 2
installation has.
"""

import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

launch = pytest.importorskip("launch", reason="no ROS 2 launch here")
pytest.importorskip("launch_ros", reason="no ROS 2 launch here")

import yaml
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

from xlvla import catalog, graph, rig_file
from xlvla.network import LOOPBACK, PROFILES, RANGE
from xlvla.paths import share
from xlvla.ros import supervision
from xlvla.ros.launch import AS_RIG, rig_actions
from xlvla.run import own_domain

pytestmark = pytest.mark.realtime

FILE = share("launch") / "bimanual.launch.py"
BY_HAND = share("launch") / "teleop.launch.py"


def description(file=FILE):
    return runpy.run_path(str(file))["generate_launch_description"]()


def started(file=FILE, **arguments):
    """The nodes that the launch file makes of its arguments, and the launch context; none is
    started.
    """
    context = launch.LaunchContext()
    values = {
        argument.name: argument.default_value[0].perform(context)
        for argument in description(file).get_launch_arguments()
    }
    context.launch_configurations.update({**values, "rviz": "false", **arguments})
    start = description(file).entities[-1]
    return [action for action in start.execute(context) if isinstance(action, Node)], context


def parameters(node, context):
    """A node's parameters as the launch system writes them."""
    node._perform_substitutions(context)
    files = [path for path, is_file in node._Node__expanded_parameter_arguments if is_file]
    merged = {}
    for path in files:
        for section in yaml.safe_load(Path(path).read_text()).values():
            merged |= section["ros__parameters"]
    return merged


def test_the_arguments_read_well():
    arguments = {
        entity.name: entity
        for entity in description().entities
        if isinstance(entity, DeclareLaunchArgument)
    }
    assert list(arguments) == [
        "rig",
        "left_hand",
        "right_hand",
        "sim",
        "policy",
        "instruction",
        "operator",
        "only",
        "without",
        "namespace",
        "network",
        "panel",
        "rviz",
    ]
    assert all(len(argument.description) > 10 for argument in arguments.values())
    assert (
        arguments["left_hand"].choices
        == arguments["right_hand"].choices
        == [AS_RIG, *catalog.hands()]
    )
    assert arguments["policy"].choices == [AS_RIG, *catalog.policies(), "none"]


def test_every_node_of_the_graph_is_launched():
    nodes, _ = started()
    specs = graph.nodes(rig_file.load("bimanual"))
    assert [node._Node__node_name for node in nodes[: len(specs)]] == [spec.name for spec in specs]


def test_a_rig_driven_by_hand_is_launched_with_whatever_follows_the_operator():
    nodes, _ = started(BY_HAND)
    specs = graph.nodes(rig_file.load("teleop_scripted"))
    assert [node._Node__node_name for node in nodes[: len(specs)]] == [spec.name for spec in specs]
    keyboard, _ = started(BY_HAND, rig="teleop_keyboard")
    assert "teleop" in [node._Node__node_name for node in keyboard]


@pytest.mark.parametrize(
    ("arguments", "scope", "profiled"),
    [
        ({}, "LOCALHOST", True),
        ({"network": "true"}, "SUBNET", False),
        ({"network": "false"}, "LOCALHOST", True),
    ],
)
def test_a_launched_rig_keeps_to_this_machine_unless_the_network_is_asked_for(
    arguments, scope, profiled, monkeypatch
):
    for name in (RANGE, *PROFILES):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    context = launch.LaunchContext()
    values = {
        argument.name: argument.default_value[0].perform(context)
        for argument in description().get_launch_arguments()
    }
    context.launch_configurations.update({**values, "rviz": "false", **arguments})
    actions = description().entities[-1].execute(context)
    first = next(number for number, action in enumerate(actions) if isinstance(action, Node))
    for action in actions[:first]:
        action.execute(context)
    assert os.environ[RANGE] == scope
    assert (os.environ.get(PROFILES[0]) == str(LOOPBACK)) == profiled


def test_without_a_policy_there_is_no_policy_node():
    nodes, _ = started(policy="none")
    assert "policy" not in [node._Node__node_name for node in nodes]


def test_a_machine_may_start_some_of_the_nodes():
    only, _ = started(only="policy")
    assert [node._Node__node_name for node in only] == ["policy"]
    without, _ = started(without="policy, motion")
    assert not {"policy", "motion"} & {node._Node__node_name for node in without}


def test_a_node_gets_the_chosen_rig_and_the_simulations_time():
    nodes, context = started(left_hand="inspire", instruction="stack: them # up")
    given = parameters(nodes[0], context)
    chosen = rig_file.load(given["rig"])
    assert (chosen.sides["left"].hand.type, chosen.policy.instruction) == (
        "inspire",
        "stack: them # up",
    )
    assert given["use_sim_time"] is True and given["part"] == ""
    assert parameters(nodes[-1], context)["part"] in ("", "xlvla")


def test_a_namespace_carries_every_node():
    nodes, context = started(namespace="lab/left")
    for node in nodes:
        node._perform_substitutions(context)
    assert {node._Node__expanded_node_namespace for node in nodes} == {"/lab/left"}


def test_a_wrong_choice_is_refused_by_name():
    service = launch.LaunchService()
    wrong = [("left_hand", "xhnad")]
    service.include_launch_description(
        launch.LaunchDescription(
            [
                IncludeLaunchDescription(
                    PythonLaunchDescriptionSource(str(FILE)), launch_arguments=wrong
                )
            ]
        )
    )
    assert service.run() == 1


def test_a_rig_whose_node_dies_ends_the_launch_with_an_error():
    doomed = rig_file.with_choices(rig_file.load("bimanual"), policy="none")
    broken = [graph.NodeSpec("xlvla_sim", "none_such", "sim")]
    service = launch.LaunchService()
    service.include_launch_description(launch.LaunchDescription(rig_actions(doomed, broken, None)))
    assert service.run() == 1


START = """
import sys
import launch
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

service = launch.LaunchService()
chosen = [("policy", "none"), ("rviz", "false")]
file = IncludeLaunchDescription(PythonLaunchDescriptionSource(sys.argv[1]), launch_arguments=chosen)
service.include_launch_description(launch.LaunchDescription([file]))
sys.exit(service.run())
"""


def launched(process):
    """Pids of the nodes that a launch has started."""
    mark = f"{supervision.PARENT}={process.pid}\0".encode()
    found = set()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                found.add(int(entry.name))
        except OSError:
            continue
    return found


def nodes_of_a_launch(process, wanted, seconds):
    """Whether a launch has `wanted` nodes within so many seconds."""
    give_up = time.monotonic() + seconds
    while len(launched(process)) != wanted and time.monotonic() < give_up:
        time.sleep(0.1)
    return len(launched(process)) == wanted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_node_outlives_a_launch_that_is_ended_without_asking_its_nodes_to(number):
    environment = {**os.environ, "ROS_DOMAIN_ID": str(own_domain())}
    process = subprocess.Popen([sys.executable, "-c", START, str(FILE)], env=environment)
    try:
        assert nodes_of_a_launch(process, 3, 30)
        time.sleep(3.0)
        process.send_signal(number)
        process.wait(timeout=20)
        assert nodes_of_a_launch(process, 0, supervision.LEAVE_S + 5)
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("file", "arguments"), [("g1.launch.py", {}), ("bimanual.launch.py", {"rig": "g1"})]
)
def test_a_humanoid_is_launched_like_any_other_rig(file, arguments):
    nodes, context = started(share("launch") / file, **arguments)
    specs = graph.nodes(rig_file.load("g1"))
    assert [node._Node__node_name for node in nodes[: len(specs)]] == [spec.name for spec in specs]
    assert rig_file.load(parameters(nodes[0], context)["rig"]).humanoid.type == "g1"
