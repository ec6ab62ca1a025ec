"""Where one side of a rig is, by the newest joint states of its arm and hand."""

from __future__ import annotations

import numpy as np
from rclpy.node import Node

from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.ros import convert, forms, topics
from xlvla.ros.convert import SECOND, Joints
from xlvla.ros.reader import Reader
from xlvla.types import Part, Side


class Measured:
    """The measured pose of one side."""

    def __init__(self, node: Node, rig: Rig, side: Side):
        self._names: dict[Part, tuple[str, ...]] = {
            part: rig.joint_names(side, part) for part in rig.parts_of(side)
        }
        self._readers: dict[Part, Reader[Joints]] = {
            part: Reader(node, topics.joint_states(side, part), forms.joints(names))
            for part, names in self._names.items()
        }
        self._stale_ns = round(rig.motion.stale_s * SECOND)
        self._newest: dict[Part, Joints] = {}

    def pose(self, now_ns: int, valid_since_ns: int) -> np.ndarray | None:
        """Positions [N] rad; None while a part has not reported freshly. A report that is no pose
        is refused by its reader.
        """
        for part, reader in self._readers.items():
            self._look(part, reader, now_ns)
        oldest_ns = max(valid_since_ns, now_ns - self._stale_ns)
        positions: list[np.ndarray] = []
        for part in self._names:
            newest = self._newest.get(part)
            # One of the future is from before the clock was set back.
            if newest is None or not oldest_ns <= newest.stamp_ns <= now_ns + forms.FUTURE_NS:
                return None
            positions.append(newest.position)
        return np.concatenate(positions)

    def _look(self, part: Part, reader: Reader[Joints], now_ns: int) -> None:
        """Keeps the newest report of a part; one of the future would stay fresh when its device has
        long fallen silent.
        """
        if (state := reader.newest()) is None:
            return
        try:
            convert.timely_ns(state.message.header.stamp, now_ns, forms.FUTURE_NS)
        except XlvlaError as error:
            reader.refuse(error)
        else:
            self._newest[part] = state
