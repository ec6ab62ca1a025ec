"""What a policy server calls what: numbers of its vectors by our joints."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from xlvla.errors import XlvlaError, unknown, unknown_line
from xlvla.rig import Rig
from xlvla.rig_parts import PolicyServer
from xlvla.types import NONE, Part, Side

Array = NDArray[np.float64]
Positions = Mapping[Side, Mapping[Part, Array]]
"""Joint positions [..., J] rad by side and part."""

SERVED = "openpi"
"""The policy that a server decides for."""

REFUSED = {
    "lerobot": "LeRobot's policy server is not spoken to: both ends unpickle what comes, so "
    "whoever answers at its address runs code here",
    "gr00t": "GR00T's policy server is not spoken to: there are copies of it that unpickle what "
    "comes, and its wire does not say which",
}
"""Servers that people have and that are no policy of ours, and why."""
OTHER_NAMES = {"groot": "gr00t"}
INSTEAD = "serve the policy over openpi's websocket, and name it as `type: openpi`"

LATENT_WIDTH = 32


@dataclass(frozen=True)
class Columns:
    """The numbers of a vector of a server, in order.

    Args:
        names: a rig-wide joint name, 'none' or a latent's for each number.
        places: where a part's joints are: numbers of the vector, and joints of the part.
        latents: where a hand's latent is.
        gain, offset: [N] its number = gain * ours + offset.
    """

    names: tuple[str, ...]
    places: Mapping[tuple[Side, Part], tuple[NDArray[np.intp], NDArray[np.intp]]]
    latents: Mapping[Side, slice]
    gain: Array
    offset: Array

    def theirs(self, positions: Positions) -> Array:
        """The vectors [..., N] of these joint positions [..., J]; what is no joint is 0."""
        side, part = next(iter(self.places))
        before = positions[side][part].shape[:-1]
        vector = np.zeros((*before, len(self.names)))
        for (side, part), (columns, joints) in self.places.items():
            vector[..., columns] = positions[side][part][..., joints]
        return self.gain * vector + self.offset

    def ours(self, vectors: Array) -> Array:
        """Vectors [..., N] in radians, in the vector's own order."""
        return (vectors - self.offset) / self.gain


def columns(rig: Rig, names: Sequence[str], latent_width: int = LATENT_WIDTH) -> Columns:
    """The vector that these entries of a rig's map describe: joints, parts, latents, 'none'; no
    entry at all is every joint of the rig.

    Raises:
        XlvlaError: a name that is none of these, a joint that is named twice, or no joint at all.
    """
    parts: dict[str, tuple[Side, Part]] = {f"{key[0]}_{key[1]}": key for key in rig.parts}
    latents: dict[str, Side] = {}
    for side, part in rig.parts:
        if part == "hand":
            latents[f"{side}_latent"] = side
    known: dict[str, tuple[Side, Part, int]] = {}
    for side, part in rig.parts:
        for index, joint in enumerate(rig.joint_names(side, part)):
            known[joint] = side, part, index
    spelled: list[str] = []
    slices: dict[Side, slice] = {}
    for name in names or list(parts):
        if name in parts:
            spelled += rig.joint_names(*parts[name])
        elif name in latents:
            slices[latents[name]] = slice(len(spelled), len(spelled) + latent_width)
            spelled += [name] * latent_width
        elif name in known or name == NONE:
            spelled.append(name)
        else:
            raise unknown("joint", name, (*parts, *latents, *known, NONE))
    places: dict[tuple[Side, Part], list[tuple[int, int]]] = {}
    for column, name in enumerate(spelled):
        if name in known:
            if name in spelled[:column]:
                raise XlvlaError(f"'{name}' stands there twice")
            side, part, index = known[name]
            places.setdefault((side, part), []).append((column, index))
    for name, side in latents.items():
        if (side, "hand") in places and side in slices:
            raise XlvlaError(f"{name} and joints of that hand exclude each other")
    if not places and not slices:
        raise XlvlaError("there is no joint of this rig among them")
    gain, offset = _scale(rig, spelled, known)
    found = {
        key: (np.array([c for c, _ in pairs]), np.array([i for _, i in pairs]))
        for key, pairs in places.items()
    }
    return Columns(tuple(spelled), found, slices, gain, offset)


def _scale(
    rig: Rig, names: Sequence[str], known: Mapping[str, tuple[Side, Part, int]]
) -> tuple[Array, Array]:
    """Gain and offset of each number."""
    gain = np.ones(len(names))
    offset = np.zeros(len(names))
    server = rig.policy.server if rig.policy else None
    if server is None:
        return gain, offset
    for column, name in enumerate(names):
        if name in server.range and name in known:
            side, part, index = known[name]
            lower, upper = (limits[index] for limits in rig.limits(side, part))
            low, high = server.range[name]
            gain[column] = (high - low) / (upper - lower)
            offset[column] = low - gain[column] * lower
        elif name in known and server.degrees:
            gain[column] = 180 / math.pi
    return gain, offset


def server_faults(rig: Rig) -> list[str]:
    """What is wrong with the server of a rig's policy, or with its absence."""
    config = rig.policy
    if config is None:
        return []
    server = config.server
    if config.type != SERVED:
        return [f"policy.server: only the policy '{SERVED}' asks one"] if server else []
    if server is None:
        return [f"policy.server: '{SERVED}' needs {{address: ..., frames: ..., rate_hz: ...}}"]
    faults: list[str] = []
    if config.chunking != "plain":
        faults.append(
            f"policy.chunking: a server decides without knowing the chunk before: plain, not "
            f"{config.chunking}"
        )
    if config.checkpoint:
        faults.append("policy.checkpoint: the weights are the server's: leave it out")
    faults += _address_faults(server.address)
    for key, camera in server.images.items():
        if camera not in rig.cameras:
            line = unknown_line("camera", camera, rig.cameras)
            faults.append(f"policy.server.images.{key}: {line}")
    joints = [joint for side, part in rig.parts for joint in rig.joint_names(side, part)]
    for joint, (low, high) in server.range.items():
        where = f"policy.server.range.{joint}"
        if joint not in joints:
            faults.append(f"{where}: {unknown_line('joint', joint, joints)}")
        elif low == high:
            faults.append(f"{where}: two different numbers are wanted")
    if faults:
        return faults
    return _vector_faults(rig, server)


def _vector_faults(rig: Rig, server: PolicyServer) -> list[str]:
    faults: list[str] = []
    vectors = {f"state.{key}": names for key, names in server.state.items()}
    vectors["actions"] = server.actions
    for where, names in vectors.items():
        try:
            found = columns(rig, names)
        except XlvlaError as error:
            faults.append(f"policy.server.{where}: {error}")
            continue
        if found.latents and (where != "actions" or server.executed):
            faults.append(f"policy.server.{where}: only actions may be latents, and none executed")
    return faults


def _address_faults(address: str) -> list[str]:
    try:
        parts = urlsplit(address)
        is_sound = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        is_sound = False
    if is_sound:
        return []
    return ["policy.server.address: ws://host:port is wanted, or wss://host:port"]
