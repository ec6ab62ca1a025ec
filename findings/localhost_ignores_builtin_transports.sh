#!/bin/sh
# Under ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST the choice of Fast DDS' built-in transports is not heeded
# (ros-rmw-fastrtps-cpp 8.4.3, ros-fastrtps 2.14.5, with ros-rclpy 7.1.6).
#
# Expected: FASTDDS_BUILTIN_TRANSPORTS=UDPv4 keeps a participant out of shared memory, whatever the discovery range is.
# So: it does with SUBNET; with LOCALHOST the middleware sets up its own transports, shared memory among them.
#   Who turns shared memory off to be rid of left-over segments has to give a profile file instead.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'ros-rclpy[fastrtps]==7.1.6'
cat > "$folder/look.py" <<'PYTHON'
import os

import rclpy

rclpy.init()
node = rclpy.create_node("probe")
links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
print(sum("/dev/shm/fastrtps" in os.readlink(link) for link in links if os.path.islink(link)))
PYTHON
segments() {
    ROS_DOMAIN_ID=89 FASTDDS_BUILTIN_TRANSPORTS=UDPv4 ROS_AUTOMATIC_DISCOVERY_RANGE=$1 "$folder/venv/bin/python" "$folder/look.py"
}
subnet=$(segments SUBNET)
localhost=$(segments LOCALHOST)
echo "UDPv4 asked for: SUBNET has $subnet segments of shared memory open, LOCALHOST $localhost"
[ "$subnet" -eq 0 ] && [ "$localhost" -gt 0 ] || { echo "not as found any more"; exit 1; }
echo "as found"
