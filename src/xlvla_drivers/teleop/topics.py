"""Any tracker with a ROS driver: poses and keypoints on topics, as a scripted operator has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from xlvla.ranges import Range


@dataclass(frozen=True)
class Options:
    """Topics are `/tracker/{side}/wrist` and `/tracker/{side}/keypoints`.

    Args:
        episodes: how many a scripted operator solves; 0: no end.
    """

    episodes: Annotated[int, Range(0, 1000000)] = 0
