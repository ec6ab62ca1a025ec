"""A rig driven by hand: `ros2 launch xlvla teleop.launch.py --show-args` says what can be
chosen.
"""

from launch import LaunchDescription

from xlvla.ros.launch import rig_launch


def generate_launch_description() -> LaunchDescription:
    return rig_launch(default_rig="teleop_scripted", rviz_file="bimanual.rviz")
