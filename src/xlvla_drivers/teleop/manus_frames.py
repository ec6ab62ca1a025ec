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

Position = tuple[float, float, float]

Node = tuple[str, str, Position]
"""Chain, joint type and position [m]."""


def keypoints(nodes: Iterable[Node]) -> np.ndarray:
    """Keypoints [21, 3] m: the wrist, and the last four joints of every finger; XlvlaError where a
    finger has fewer.
    """
    chains: dict[str, list[tuple[int, Position]]] = {}
    for chain, joint, position in nodes:
        entries = chains.setdefault(chain.lower(), [])
        entries.append((_rank(joint.lower()), position))
    wrist = (0.0, 0.0, 0.0)
    if "hand" in chains:
        _, wrist = chains["hand"][0]
    points = [wrist]
    for finger in CHAINS:
        entries = sorted(chains.get(finger, []), key=lambda entry: entry[0])
        joints = [position for _, position in entries[-4:]]
        if len(joints) < 4:
            raise XlvlaError(
                f"the glove sends {len(joints)} joints of the {finger}: four are needed"
            )
        points.extend(joints)
    return np.array(points)


def _rank(joint: str) -> int:
    """The place of a joint type in `ORDER`; an unknown one comes first."""
    return ORDER.index(joint) if joint in ORDER else -1
