"""Where one side of a rig is, by the newest joint states of its arm and hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from rclpy.node import Node

from xlvla.rig import Rig
from xlvla.ros import convert, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.reader import Reader
from xlvla.types import PARTS, Part, Side


class Measured:
    """The measured pose of one side."""

    def __init__(self, node: Node, rig: Rig, side: Side):
        self._names: dict[Part, tuple[str, ...]] = {part: rig.joint_names(side, part) for part in PARTS}
        self._readers: dict[Part, Reader] = {part: Reader(node, topics.joint_states(side, part)) for part in PARTS}
        self._stale_ns = round(rig.motion.stale_s * SECOND)
        self._newest: dict[Part, Any] = dict.fromkeys(PARTS)

    def pose(self, now_ns: int, void_ns: int) -> np.ndarray | None:
        """Positions [N] rad; None while a part has not reported freshly. Raises XlvlaError for a report that is no pose."""
        for part, reader in self._readers.items():
            self._newest[part] = reader.newest() or self._newest.get(part)
        oldest_ns = max(void_ns, now_ns - self._stale_ns)
        if any(message is None or convert.nanoseconds(message.header.stamp) < oldest_ns for message in self._newest.values()):
            return None
        return np.concatenate([convert.positions(self._newest[part], names) for part, names in self._names.items()])
