"""MANUS gloves, through the vendor's ROS 2 node: fingers from the gloves, arms from another
source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Options:
    """Options in a rig's file.

    Args:
        gloves: numbers of the gloves, whose topics are `/manus_glove_<number>`.
        arms: the source of the wrists or arms, such as leader, exoskeleton or topics (wrist
            trackers). A side is seen when it sees it, a hand without an arm, too.
        arms_address, arms_options: its `address` and `options`.
    """

    gloves: tuple[int, int] = (0, 1)
    arms: str = "topics"
    arms_address: str = ""
    arms_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
