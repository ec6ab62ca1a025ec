"""Drivers of devices that speak ROS; their options stand in `arms` and `hands`."""
