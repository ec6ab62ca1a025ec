# What is used of launch_ros, which only a ROS 2 installation has.
