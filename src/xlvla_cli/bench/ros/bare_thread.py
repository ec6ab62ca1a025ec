"""A bare thread that only publishes at fixed deadlines: what a control loop's regularity is
measured against.
"""

from __future__ import annotations

import signal
import sys
import threading

import numpy as np
from sensor_msgs.msg import JointState

from xlvla.ros import convert, participant, priority, supervision
from xlvla.ros.clock import Clock
from xlvla.ros.topics import RELIABLE, Topic

BEAT = Topic("/bench/beat", JointState, RELIABLE)
JOINTS = 12


def main() -> None:
    """Publishes at the rate in the first argument [Hz] until SIGTERM."""
    supervision.follow_parent()
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    participant.join()
    node = participant.node_without_services("bench_beat")
    beat = node.create_publisher(BEAT.type, BEAT.name, BEAT.qos)
    message = convert.JointMessage([f"joint{i}" for i in range(JOINTS)])
    priority.hasten()
    for now_ns, _ in Clock().ticks(float(sys.argv[1]), stop):
        beat.publish(message.fill(now_ns, np.zeros(JOINTS)))
    participant.leave(node)


if __name__ == "__main__":
    main()
