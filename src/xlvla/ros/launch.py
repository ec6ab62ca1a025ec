"""From a rig's graph to a ROS 2 launch description; needs `launch` and `launch_ros` of a ROS 2
installation.

What `xlvla run` does with processes, this does with launch actions: the same nodes, names and
parameters, and the whole rig stops when one of them dies.
"""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from ament_index_python.packages import get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.action import Action
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    UnsetEnvironmentVariable,
)
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from xlvla import catalog, rig_file, security
from xlvla import topics as names
from xlvla.errors import RigError, XlvlaError
from xlvla.graph import NodeSpec, chosen, within
from xlvla.network import Reach, absent_servers, reach
from xlvla.paths import share
from xlvla.rig import Rig
from xlvla.rig_file import load
from xlvla.robot import rig_description
from xlvla.ros import supervision
from xlvla.ros.wiring import wiring
from xlvla.run import NODE_DEFAULTS
from xlvla.text import listed
from xlvla.types import Side

AS_RIG = "as_rig"
"""The choice that keeps what the rig's file says."""


def rig_launch(default_rig: str, rviz_file: str) -> LaunchDescription:
    """Everything a rig needs, with the arguments a user may choose by; `rviz_file` lies in the
    launch folder.
    """

    def start(context: LaunchContext) -> list[Action]:
        rig = chosen_rig(context)
        specs = chosen(rig, _names(context, "only"), _names(context, "without"))
        insisted = _choice(context, "network") is not None
        scope = reach(rig.network, os.environ, insisted=insisted)
        faults = security.faults(rig, specs, os.environ)
        if faults:
            raise RigError(faults)
        shown = rviz_file if _truth(context, "rviz") else None
        panel = _truth(context, "panel")
        return [*reach_actions(scope), *rig_actions(rig, specs, shown, panel=panel)]

    return LaunchDescription([*arguments(default_rig), OpaqueFunction(function=start)])


def arguments(default_rig: str) -> list[DeclareLaunchArgument]:
    """The launch arguments, with choices and descriptions from the catalogue."""
    hands = list(catalog.hands())
    policies = list(catalog.policies())
    return [
        _argument(
            "rig",
            default_rig,
            f"Rig of the catalogue ({', '.join(catalog.rigs())}), or path of a rig's YAML file.",
        ),
        _argument("left_hand", AS_RIG, "Hand on the left arm.", [AS_RIG, *hands]),
        _argument("right_hand", AS_RIG, "Hand on the right arm.", [AS_RIG, *hands]),
        _argument(
            "sim",
            AS_RIG,
            "Simulate the robot; the time is then the simulation's.",
            [AS_RIG, "true", "false"],
        ),
        _argument(
            "policy",
            AS_RIG,
            "Who decides; none starts the robot alone.",
            [AS_RIG, *policies, "none"],
        ),
        _argument("instruction", AS_RIG, "The task instruction."),
        _argument("operator", AS_RIG, "Who drives by hand, see `xlvla calibrate operator`."),
        _argument(
            "only",
            "",
            "Start only these nodes of the rig, separated by commas; the rest run elsewhere.",
        ),
        _argument(
            "without", "", "Start all nodes but these, which run elsewhere: without:=policy."
        ),
        _argument("namespace", AS_RIG, "ROS namespace of the rig, so that several share a domain."),
        _argument("network", AS_RIG, "Let nodes of other machines in.", [AS_RIG, "true", "false"]),
        _argument(
            "panel",
            "false",
            "Also serve the operator's page, as `xlvla panel` does.",
            ["true", "false"],
        ),
        _argument(
            "rviz", "true", "Show robot, camera and the policy's chunk in RViz.", ["true", "false"]
        ),
    ]


def chosen_rig(context: LaunchContext) -> Rig:
    """The rig the arguments chose."""
    hands: dict[Side, str | None] = {
        "left": _choice(context, "left_hand"),
        "right": _choice(context, "right_hand"),
    }
    return rig_file.with_choices(
        load(context.launch_configurations["rig"]),
        hands=hands,
        sim=_truth_or_none(context, "sim"),
        policy=_choice(context, "policy"),
        instruction=_choice(context, "instruction"),
        operator=_choice(context, "operator"),
        network=_truth_or_none(context, "network"),
        namespace=_choice(context, "namespace"),
    )


def reach_actions(scope: Reach) -> list[Action]:
    """Actions that set for everything started after them how far it communicates, and say so."""
    fault = scope.fault or absent_servers(scope, os.environ)
    if fault:
        raise XlvlaError(fault)
    actions: list[Action] = []
    for name, value in scope.variables.items():
        if value is None:
            actions.append(UnsetEnvironmentVariable(name))
        else:
            actions.append(SetEnvironmentVariable(name, value))
    # An enclave that the operator set would be every node's.
    actions.append(UnsetEnvironmentVariable(security.OVERRIDE))
    line = f"the rig speaks {scope.line}"
    if not scope.network:
        line += "; network:=true lets other machines in"
    actions.append(LogInfo(msg=line))
    return actions


def rig_actions(
    rig: Rig, specs: Sequence[NodeSpec], rviz_file: str | None, *, panel: bool = False
) -> list[Action]:
    """Actions that start nodes of a rig and stop all of them when one dies; the resolved rig lives
    as long as the launch.
    """
    folder = Path(tempfile.mkdtemp(prefix="xlvla-"))
    rig_path = rig.save(folder / f"{rig.name}.yaml")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    actions: list[Action] = []
    for spec in specs:
        secured = security.arguments(rig, spec, os.environ)
        node = rig_node(spec, str(rig_path), ros_arguments=secured)
        stop_with_it = OnProcessExit(target_action=node, on_exit=_stop_all)
        actions += [node, RegisterEventHandler(stop_with_it)]
    # Of several machines, the one with the robot's joints shows it.
    if any(spec.name == "joint_states" for spec in specs):
        actions += _viewers(rig, rviz_file)
    if panel:
        actions.append(_panel(str(rig_path)))
    return actions


def _panel(rig_path: str) -> Action:
    """The operator's page; the rig goes on when it ends."""
    return ExecuteProcess(
        cmd=[_python(), "-m", "xlvla_cli", "panel", rig_path],
        name="panel",
        additional_env={supervision.PARENT: str(os.getpid())},
        output="screen",
    )


class _NodeOptions(TypedDict):
    """What every node is launched with, however it is installed."""

    name: str
    exec_name: str
    namespace: str
    parameters: list[dict[str, ParameterValue]]
    ros_arguments: list[str]
    additional_env: dict[str, str]
    output: str


def rig_node(spec: NodeSpec, rig_path: str, *, ros_arguments: Sequence[str] = ()) -> Node:
    """One node of the graph: the colcon-installed executable, or its module where the packages came
    from pip.
    """
    parameters = {
        key: ParameterValue(value, value_type=type(value))
        for key, value in spec.params(rig_path).items()
    }
    environment = {key: value for key, value in NODE_DEFAULTS.items() if key not in os.environ}
    # launch itself leaves its nodes running when it is ended by SIGTERM.
    environment[supervision.PARENT] = str(os.getpid())
    common: _NodeOptions = {
        "name": spec.name,
        "exec_name": spec.name,
        "namespace": within(spec.namespace),
        "parameters": [parameters],
        "ros_arguments": list(ros_arguments),
        "additional_env": environment,
        "output": "screen",
    }
    if not _installed("xlvla"):
        return Node(executable=_python(), arguments=["-m", spec.module], **common)
    return Node(package="xlvla", executable=executable(spec), prefix=_python(), **common)


def _python() -> str:
    """What our programs run with. Where colcon installed them the first python3 of the path, not
    the one colcon ran with: an active virtual environment has what ROS has no package for.
    """
    return "python3" if _installed("xlvla") else sys.executable


def executable(spec: NodeSpec) -> str:
    """The name `ros2 run xlvla` knows a node by; setup.py of the ROS package makes the same."""
    return f"{spec.package}_{spec.executable}"


def _viewers(rig: Rig, rviz_file: str | None) -> list[Action]:
    """robot_state_publisher and RViz, where they are installed; the rig runs without them."""
    if security.is_asked_for(os.environ):
        line = "secured, so without robot_state_publisher and RViz: they have no enclave"
        return [LogInfo(msg=line)]
    actions = [_state_publisher(rig)]
    if rviz_file is not None:
        actions.append(_rviz(rig, rviz_file))
    return actions


def _rviz(rig: Rig, rviz_file: str) -> Action:
    """RViz, or a line about why it is not there."""
    if not _installed("rviz2"):
        line = "RViz is not installed: running without it (apt-get install ros-$ROS_DISTRO-rviz2)"
        return LogInfo(msg=line)
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return LogInfo(msg="no display: running without RViz (rviz:=false silences this)")
    return Node(
        package="rviz2",
        executable="rviz2",
        arguments=["-d", str(share("launch") / rviz_file)],
        namespace=within(rig.namespace),
        parameters=[{"use_sim_time": rig.sim is not None}],
        remappings=_carried(rig),
    )


def _state_publisher(rig: Rig) -> Action:
    """What publishes TF, or a line about why it is not there.

    /robot_description has one publisher already, so the copy of it is remapped to another topic.
    """
    if not _installed("robot_state_publisher"):
        return LogInfo(
            msg="robot_state_publisher is not installed: no TF frames (apt-get install "
            "ros-$ROS_DISTRO-robot-state-publisher)"
        )
    description = ParameterValue(rig_description(rig).text, value_type=str)
    return Node(
        package="robot_state_publisher",
        executable="robot_state_publisher",
        namespace=within(rig.namespace),
        parameters=[{"robot_description": description, "use_sim_time": rig.sim is not None}],
        remappings=[
            ("robot_description", "robot_state_publisher/robot_description"),
            *_carried(rig),
        ],
    )


def _carried(rig: Rig) -> list[tuple[str, str]]:
    """Remappings of the topics that others name absolutely into the rig's namespace."""
    place = within(rig.namespace)
    if not place:
        return []
    shown = (topic.name for wire in wiring(rig).values() for topic in wire.publishes)
    every = dict.fromkeys((*shown, names.CLOCK, names.TF, names.TF_STATIC))
    return [(name, place + name) for name in every]


def _stop_all(event: ProcessExited, context: LaunchContext) -> None:
    """An error in a handler ends the launch with exit code 1, which an event Shutdown would not."""
    if not context.is_shutdown:
        raise XlvlaError(
            f"node {event.process_name} ended with exit code {event.returncode}: stopping the rig"
        )


def _argument(
    name: str, default: str, text: str, choices: list[str] | None = None
) -> DeclareLaunchArgument:
    if default == AS_RIG or AS_RIG in (choices or []):
        text += f" {AS_RIG}: what the rig's file says."
    return DeclareLaunchArgument(name, default_value=default, description=text, choices=choices)


def _choice(context: LaunchContext, name: str) -> str | None:
    value = context.launch_configurations[name]
    return None if value == AS_RIG else value


def _truth_or_none(context: LaunchContext, name: str) -> bool | None:
    choice = _choice(context, name)
    return None if choice is None else choice == "true"


def _names(context: LaunchContext, name: str) -> list[str]:
    return list(listed(context.launch_configurations[name]))


def _truth(context: LaunchContext, name: str) -> bool:
    return context.launch_configurations[name] == "true"


def _installed(package: str) -> bool:
    try:
        get_package_prefix(package)
    except (LookupError, OSError):  # not in the index, or no index at all
        return False
    return True
