"""What a server of xlvla's says of itself in its first message, under the key `xlvla`; servers of
others have no such entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from xlvla.errors import XlvlaError
from xlvla.policy import Policy
from xlvla.rig import Rig
from xlvla.rig_parts import PolicyServer
from xlvla.server_map import Columns, columns
from xlvla.text import plain

KEY = "xlvla"


def every_joint(rig: Rig) -> Columns:
    """The columns of a chunk that is served: all joints of the rig, in radians."""
    return columns(replace(rig, policy=None), ())


def metadata(rig: Rig, policy: Policy) -> dict[str, Any]:
    """What the client must know: which numbers a chunk's columns are [rad], how many rows a chunk
    has and how many of them are played in a second, and which pictures are wanted.
    """
    about = {
        "rig": rig.name,
        "frames": policy.frames,
        "rate_hz": float(policy.rate_hz),
        "joints": list(every_joint(rig).names),
        "cameras": {name: list(camera.publish) for name, camera in rig.cameras.items()},
    }
    return {KEY: about}


def refuse_other(said: Mapping[str, Any], actions: Columns, server: PolicyServer) -> None:
    """Raises XlvlaError where a server says that it decides for other joints, frames or rates."""
    about = said.get(KEY)
    if not isinstance(about, Mapping):
        return
    wanted = {
        "frames": server.frames,
        "rate_hz": server.rate_hz,
        "joints": list(actions.names),
    }
    for name, value in wanted.items():
        other = about.get(name)
        if other != value:
            raise XlvlaError(f"says its {name} are {plain(other, 200)}, not {plain(value, 200)}")
