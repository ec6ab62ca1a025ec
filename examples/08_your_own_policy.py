"""A policy of your own behind the ROS graph.

`policies/wave.py` is all of it: `load(rig)` makes an object whose `predict` turns an observation
into a chunk of joint positions. XLVLA_POLICIES names its folder, `waving_arm.yaml` asks for it by
name. Commands then know it, too: `xlvla run waving_arm.yaml`, `xlvla eval --policy wave`. Motion,
which keeps all limits, stands between policy and arm, simulated or real.

Starts the rig and listens to its topics as any ROS node can. Prints the size of the first chunk,
and how far [rad] every joint moved within five seconds.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

HERE = Path(__file__).parent


def watch(node: Node, rig: subprocess.Popen) -> None:
    """Prints the first chunk, and what the joints do after it."""
    chunks: list[JointTrajectory] = []
    states: list[JointState] = []
    node.create_subscription(JointTrajectory, "/right/chunk", chunks.append, 10)
    node.create_subscription(JointState, "/joint_states", states.append, 10)
    while not chunks and rig.poll() is None:
        rclpy.spin_once(node, timeout_sec=1.0)
    if not chunks:
        return
    print(f"chunk: {len(chunks[0].points)} points, {len(chunks[0].joint_names)} joints", flush=True)
    end = time.monotonic() + 5.0
    while time.monotonic() < end:
        rclpy.spin_once(node, timeout_sec=1.0)
    moved = np.ptp([state.position for state in states], axis=0)
    for name, value in zip(states[0].name, moved, strict=True):
        print(f"{name}: {value:.2f}")


def main() -> None:
    os.environ["XLVLA_POLICIES"] = str(HERE / "policies")
    rclpy.init()
    rig = subprocess.Popen([sys.executable, "-m", "xlvla", "run", str(HERE / "waving_arm.yaml")])
    try:
        watch(Node("watcher"), rig)
    finally:
        rig.send_signal(signal.SIGINT)
        rig.wait()


if __name__ == "__main__":
    main()
