"""The events of vuer, in which a browser on a headset sends hands (WebXR): msgpack maps with etype,
ts [ms] and value.

Matrices are column by column. Hands come in either of two layouts: those of vuer before and since
0.0.40.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

from xlvla.errors import XlvlaError
from xlvla.types import SIDES, Side

INIT = "INIT"
HAND_MOVE = "HAND_MOVE"
CAMERA_MOVE = "CAMERA_MOVE"
PICTURE = "UPSERT"
"""What the server does with the plane of a picture."""
PORT = 8012
JOINTS = 25
"""Wrist; thumb: metacarpal, two phalanges, tip; four fingers: metacarpal, three phalanges, tip."""

KEPT = (0, 1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 18, 19, 21, 22, 23, 24)
"""The joints that are the 21 keypoints, in order: all but the metacarpals of the fingers."""


AWAY_M = 2.0
"""From the eyes to the plane of a picture, which is 1 m high."""

MALFORMED = (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    msgpack.exceptions.UnpackException,
)
"""What reading a frame that is no event raises."""


def event(kind: str, value: Any, ts_ms: int) -> bytes:
    """An event of a client."""
    return _packed({"etype": kind, "ts": ts_ms, "value": value})


def scene(ts_ms: int, rate_hz: int = 90) -> bytes:
    """The server's answer to INIT: an empty scene that streams the hands."""
    hands = {"tag": "Hands", "key": "hands", "fps": rate_hz, "stream": True}
    data = {
        "tag": "Scene",
        "up": [0, 1, 0],
        "children": [],
        "htmlChildren": [],
        "rawChildren": [],
        "bgChildren": [hands],
    }
    return _packed({"ts": ts_ms, "etype": "SET", "data": data})


def picture(jpeg: bytes, aspect: float, ts_ms: int) -> bytes:
    """An event of the server: a picture on a plane that stays before the head, in place of the one
    before; as vuer 0.1.6 writes an `ImageBackground`.

    Args:
        aspect: its width over its height.
    """
    plane = {
        "tag": "ImageBackground",
        "key": "camera",
        "src": jpeg,
        "aspect": aspect,
        "height": 1,
        "distanceToCamera": AWAY_M,
        "interpolate": True,
    }
    return _packed({"ts": ts_ms, "etype": PICTURE, "data": {"nodes": [plane], "to": "bgChildren"}})


def _packed(event: dict[str, Any]) -> bytes:
    packed = msgpack.packb(event)
    assert packed is not None
    return packed


def read(frame: bytes | str) -> tuple[str, float, Any]:
    """Kind, time [s] and value of an event; XlvlaError where the frame is no event."""
    if isinstance(frame, str):
        raise XlvlaError(f"a text of {len(frame)} characters is no event: they are binary")
    try:
        event = msgpack.unpackb(frame, strict_map_key=False)
        kind = str(event["etype"])
        stamp_s = float(event["ts"] or 0) / 1e3
        return kind, stamp_s, event.get("value")
    except MALFORMED as error:
        raise XlvlaError(f"{len(frame)} bytes are no event: {type(error).__name__}") from None


def hands(value: Any) -> dict[Side, tuple[np.ndarray, np.ndarray]]:
    """Wrists [4, 4] and keypoints [21, 3] m of a HAND_MOVE, by side; without hands that are not
    seen.
    """
    if not isinstance(value, Mapping):
        return {}
    hands: dict[Side, tuple[np.ndarray, np.ndarray]] = {}
    for side in SIDES:
        hand = _hand(value, side)
        if hand is not None:
            hands[side] = hand
    return hands


def _hand(value: Mapping[Any, Any], side: Side) -> tuple[np.ndarray, np.ndarray] | None:
    """Wrist and keypoints of a side; a hand of zeros is not seen."""
    # Since vuer 0.0.40: one list of all joints' matrices.
    numbers = _numbers(value.get(side))
    if len(numbers) == 16 * JOINTS and numbers.any():
        joints = numbers.reshape(JOINTS, 4, 4).transpose(0, 2, 1)
        return joints[0], joints[list(KEPT), :3, 3]
    # Before: the wrist's matrix, and the joints' positions.
    wrist = _numbers(value.get(f"{side}Hand"))
    landmarks = _numbers(value.get(f"{side}Landmarks"))
    if len(wrist) == 16 and len(landmarks) == 3 * JOINTS and wrist.any():
        return wrist.reshape(4, 4).T, landmarks.reshape(JOINTS, 3)[list(KEPT)]
    return None


def head(value: Any) -> np.ndarray | None:
    """Pose [4, 4] of a CAMERA_MOVE; None where it has none."""
    if not isinstance(value, Mapping):
        return None
    camera = value.get("camera")
    if not isinstance(camera, Mapping):
        return None
    numbers = _numbers(camera.get("matrix"))
    if len(numbers) != 16:
        return None
    return numbers.reshape(4, 4).T


def _numbers(value: Any) -> np.ndarray:
    """Numbers as browsers send them: a list, of lists or not, or the bytes of a Float32Array; none
    where there is anything else.
    """
    nothing = np.zeros(0)
    if value is None:
        return nothing
    if isinstance(value, msgpack.ExtType):
        value = value.data
    if isinstance(value, bytes):
        if len(value) % 4 != 0:
            return nothing
        return np.frombuffer(value, "<f4").astype(float)
    try:
        return np.asarray(value, dtype=float).ravel()
    except (TypeError, ValueError):
        return nothing
