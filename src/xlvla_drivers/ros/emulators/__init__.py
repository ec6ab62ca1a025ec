"""Emulators of devices that speak ROS."""
