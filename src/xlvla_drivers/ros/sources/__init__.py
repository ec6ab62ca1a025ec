"""What the sources of teleoperation speak with ROS."""
