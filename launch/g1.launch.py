"""A Unitree G1: `ros2 launch xlvla g1.launch.py --show-args` says what can be chosen."""

from launch import LaunchDescription

from xlvla.ros.launch import rig_launch


def generate_launch_description() -> LaunchDescription:
    return rig_launch(default_rig="g1", rviz_file="g1.rviz")
