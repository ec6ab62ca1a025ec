"""Any arm with a ROS 2 driver of its own: a controller of ros2_control, or plain joint states."""

from __future__ import annotations

from xlvla_drivers import ros2_control

Options = ros2_control.Options
claim = ros2_control.claim
