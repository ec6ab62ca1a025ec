"""A policy of your own behind the ROS graph.

`policies/wave.py` is all of it: `load(rig)` makes an object whose `predict` turns an observation
into a chunk of joint positions. XLVLA_POLICIES names its folder, `waving_arm.yaml` asks for it by
name. Commands then know it, too: `xlvla run waving_arm.yaml`, `xlvla eval --policy wave`. Motion,
which keeps all limits, stands between policy and arm, simulated or real.

Starts the rig and listens to its topics as any ROS node can. Prints the size of a chunk, and how
far [rad] every joint moved within six simulated seconds.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

HERE = Path(__file__).parent


def watch(node: Node, rig: subprocess.Popen) -> None:
    """Prints what the policy decides and what the joints do."""
    chunks: list[JointTrajectory] = []
    states: list[JointState] = []
    node.create_subscription(JointTrajectory, "/right/chunk/policy", chunks.append, 10)
    node.create_subscription(JointState, "/joint_states", states.append, 10)
    while rig.poll() is None:
        rclpy.spin_once(node, timeout_sec=1.0)
        if chunks and states and states[-1].header.stamp.sec - states[0].header.stamp.sec >= 6:
            break
    if rig.poll() is not None:
        return
    print(f"chunk: {len(chunks[0].points)} points, {len(chunks[0].joint_names)} joints")
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
