"""A bimanual rig: `ros2 launch xlvla bimanual.launch.py --show-args` says what can be chosen."""

from launch import LaunchDescription

from xlvla.ros.launch import rig_launch


def generate_launch_description() -> LaunchDescription:
    return rig_launch(default_rig="bimanual", rviz_file="bimanual.rviz")
