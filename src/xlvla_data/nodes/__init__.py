"""ROS 2 nodes, one executable per file."""
