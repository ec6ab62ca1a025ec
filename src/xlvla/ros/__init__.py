"""ROS 2 vocabulary: topics, message conversion, time, the base of every node."""

from importlib.util import find_spec

from xlvla.errors import XlvlaError

_NEEDED = (
    *("rclpy", "std_msgs", "sensor_msgs", "trajectory_msgs", "geometry_msgs"),
    *("diagnostic_msgs", "visualization_msgs", "rosgraph_msgs", "std_srvs"),
)

if _missing := [name for name in _NEEDED if find_spec(name) is None]:
    raise XlvlaError(
        f"ROS 2 is missing ({', '.join(_missing)}): pip install 'xlvla[ros]', or source a ROS 2 "
        "installation for this Python"
    )
