"""Any tracker that speaks ROS: poses and keypoints on topics. Also how a scripted operator
drives.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Topics are `/tracker/{side}/wrist` and `/tracker/{side}/keypoints`.

    Args:
        episodes: how many a scripted operator solves; 0: without end.
    """

    episodes: int = 0
