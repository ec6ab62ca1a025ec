"""From the nodes of a MANUS glove to the 21 keypoints; nodes have a chain (Thumb .. Pinky, Hand)
and a joint type (MCP .. TIP).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from xlvla.errors import XlvlaError

CHAINS = ("thumb", "index", "middle", "ring", "pinky")
ORDER = ("mcp", "pip", "ip", "dip", "tip")
"""Of joint types from the palm outwards."""

Node = tuple[str, str, tuple[float, float, float]]
"""Chain, joint type and position [m]."""


def keypoints(nodes: Iterable[Node]) -> np.ndarray:
    """Keypoints [21, 3] m: the wrist, and the last four joints of every finger; XlvlaError where a
    finger has fewer.
    """
    chains: dict[str, list[tuple[int, tuple[float, float, float]]]] = {}
    for chain, joint, position in nodes:
        kind = joint.lower()
        chains.setdefault(chain.lower(), []).append(
            (ORDER.index(kind) if kind in ORDER else -1, position)
        )
    points = [chains["hand"][0][1] if "hand" in chains else (0.0, 0.0, 0.0)]
    for finger in CHAINS:
        joints = [
            position for _, position in sorted(chains.get(finger, []), key=lambda entry: entry[0])
        ][-4:]
        if len(joints) < 4:
            raise XlvlaError(
                f"the glove sends {len(joints)} joints of the {finger}: four are needed"
            )
        points += joints
    return np.array(points)
