"""What the simulation's nodes share on their ROS side."""
