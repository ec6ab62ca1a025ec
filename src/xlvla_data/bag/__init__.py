"""Recorded episodes as bags that `ros2 bag` plays: what is on disk, written and read without
ROS.
"""
