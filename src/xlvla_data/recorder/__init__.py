"""What records: an operator's desk, the episode on it, and the thread that writes; without ROS."""
