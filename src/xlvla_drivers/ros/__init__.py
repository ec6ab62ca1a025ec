"""What nodes of devices share on their ROS side."""
