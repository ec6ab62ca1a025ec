"""ROS 2 vocabulary: topics, message conversion, the base of every node."""
