"""MANUS gloves, through the vendor's ROS 2 node: fingers from the gloves, arms from another source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xlvla.types import Side
from xlvla_drivers.teleop.operator import Source


@dataclass(frozen=True)
class Options:
    """What a rig may say about gloves.

    Args:
        gloves: numbers of the gloves, whose topics are `/manus_glove_<number>`.
        arms: the source that says where the arms are, such as leader, exoskeleton or topics (wrist trackers).
        arms_address, arms_options: its `address` and `options`.
    """

    gloves: tuple[int, int] = (0, 1)
    arms: str = "topics"
    arms_address: str = ""
    arms_options: Mapping[str, Any] = field(default_factory=dict[str, Any])


def Driver(address: str, sides: tuple[Side, ...], options: Options, node: Any) -> Source:
    from xlvla_drivers import registry
    from xlvla_drivers.ros.sources.manus import Gloves

    chosen = registry.options("teleop", options.arms, options.arms_options, "teleop.options.arms_options")
    arms = registry.driver("teleop", options.arms).Driver(options.arms_address, sides, chosen, node)
    return Gloves(node, options.gloves, arms)
