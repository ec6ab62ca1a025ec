"""Any tracker that speaks ROS: poses and keypoints on topics. Also how a scripted operator drives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xlvla.types import Side
from xlvla_drivers.teleop.operator import Source


@dataclass(frozen=True)
class Options:
    """Nothing to choose: topics are `/tracker/{side}/wrist` and `/tracker/{side}/keypoints`."""


def Driver(address: str, sides: tuple[Side, ...], options: Options, node: Any) -> Source:
    from xlvla_drivers.ros.tracker import TrackerTopics

    return TrackerTopics(node, sides)
