#!/bin/sh
# A lifecycle node that was destroyed still holds its shared memory (ros-rclpy 7.1.6, ros-fastrtps 2.14.5).
#
# Expected: after destroy_node() and rclpy.shutdown() a LifecycleNode has left the graph like a Node has: no segment of
#   Fast DDS is open any more, and files in /dev/shm are gone.
# So: a Node's are gone; a LifecycleNode's stay, because its state machine keeps a reference to the node's handle. They go
#   when `_state_machine.destroy_when_not_in_use()` is called as well, or when the interpreter takes the objects apart.
#   A process that ends by os._exit after an orderly shutdown therefore leaves them behind.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'ros-rclpy[fastrtps]==7.1.6' ros-lifecycle-msgs
cat > "$folder/look.py" <<'PYTHON'
import os

import rclpy
from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node


def open_segments():
    links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    return sum("/dev/shm/fastrtps_" in os.readlink(link) for link in links if os.path.islink(link))


def after(kind, also=lambda node: None):
    context = Context()
    rclpy.init(context=context)
    node = kind("probe", context=context)
    there = open_segments()
    node.destroy_node()
    also(node)
    rclpy.shutdown(context=context)
    left = open_segments()
    print(f"{kind.__name__:14} with its segments open: {there:2}; destroyed and shut down: {left}")
    return there, left


plain = after(Node)
freed = after(LifecycleNode, lambda node: node._state_machine.destroy_when_not_in_use())
kept = after(LifecycleNode)
assert plain[0] > 0 and plain[1] == 0, "a Node leaves nothing"
assert freed[1] == 0, "with the state machine destroyed nothing is left"
assert kept[1] > 0, "a LifecycleNode leaves nothing any more: this finding is out of date"
print("as found")
PYTHON
ROS_DOMAIN_ID=88 ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST "$folder/venv/bin/python" "$folder/look.py"
