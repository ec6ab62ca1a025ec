"""Any tracker that speaks ROS: poses and keypoints on topics. Also how a scripted operator drives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from xlvla.types import Side
from xlvla_drivers.teleop.operator import Source


@dataclass(frozen=True)
class Options:
    """Topics are `/tracker/{side}/wrist` and `/tracker/{side}/keypoints`.

    Args:
        episodes: how many a scripted operator solves; 0: without end.
    """

    episodes: int = 0


def Driver(address: str, sides: tuple[Side, ...], options: Options, node: Any) -> Source:
    from xlvla_drivers.ros.sources.topics import TrackerTopics

    return TrackerTopics(node, sides)
