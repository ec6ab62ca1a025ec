"""A policy that asks a server over openpi's websocket; `policy.server` of the rig says where it is
and what it calls what.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.policy import Chunk, Observation
from xlvla.rig import Rig
from xlvla.rig_parts import PolicyServer
from xlvla.server_map import LATENT_WIDTH, columns
from xlvla.text import plain
from xlvla.types import NONE, Part, Side
from xlvla_policy.openpi import metadata
from xlvla_policy.openpi.connection import Connection

BEYOND_RAD = 0.1
"""How far an action may be beyond a joint's limit, at which it is held then: a network that closes
a hand as far as it goes says a little more. Further off it is another joint, unit or zero.
"""


def load(rig: Rig, *, threads: int = 1) -> OpenpiPolicy:
    """The policy for a rig; the server need not be there yet. `threads` are the server's matter.

    Raises:
        XlvlaError: no server in the rig, or a hand whose latents nobody can decode.
    """
    if rig.policy is None or rig.policy.server is None:
        raise XlvlaError("the policy 'openpi' needs a policy.server in the rig")
    return OpenpiPolicy(rig, rig.policy.server)


class OpenpiPolicy:
    """Chunks of a server; for one thread.

    Attributes:
        infer_ms: what the server says that the last decision took; NaN where it says nothing.
    """

    def __init__(self, rig: Rig, server: PolicyServer):
        self.rig = rig
        self.server = server
        self._images = server.images or {f"images>{camera}": camera for camera in rig.cameras}
        state = server.state or {"state": []}
        self._state = {key: columns(rig, names) for key, names in state.items()}
        self._actions = columns(rig, server.actions)
        self._codec: Codec | None = None
        if self._actions.latents:
            self._codec = Codec.load()
            if self._codec.latent_dim != LATENT_WIDTH:
                raise XlvlaError(
                    f"the codec's latents have {self._codec.latent_dim} numbers: servers' have "
                    f"{LATENT_WIDTH}"
                )
            for side in self._actions.latents:
                self._codec.part(rig.hand(side).name, side)
        self._limits = {key: rig.limits(*key) for key in self._actions.places}
        self._connection = Connection(server.address, server.timeout_s, self._refuse_other)
        self.infer_ms = math.nan

    @property
    def frames(self) -> int:
        """Frames of a chunk, and of the executed commands in an observation."""
        return self.server.frames

    @property
    def rate_hz(self) -> float:
        """Frames per second."""
        return self.server.rate_hz

    def predict(self, observation: Observation) -> Chunk:
        """The server's chunk for this observation.

        Raises:
            XlvlaError: no camera's image, no server, no answer in time, or one that the robot
                cannot follow.
        """
        answer = self._connection.ask(self.request(observation))
        self.infer_ms = _infer_ms(answer)
        actions = self._taken(answer)
        return self._chunk(actions, observation)

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()

    def request(self, observation: Observation) -> dict[str, Any]:
        """The observation as the server knows it."""
        request: dict[str, Any] = {}
        for key, camera in self._images.items():
            if camera not in observation.images:
                raise XlvlaError(f"no image of camera '{camera}' in the observation")
            image = observation.images[camera]
            if self.server.layout == "chw":
                image = np.ascontiguousarray(image.transpose(2, 0, 1))
            _put(request, key, image)
        measured = observation.measured or _last(observation)
        for key, vector in self._state.items():
            _put(request, key, vector.theirs(measured).astype(np.float32))
        if self.server.executed:
            executed = self._actions.theirs(observation.executed)
            _put(request, self.server.executed, executed.astype(np.float32))
        _put(request, self.server.prompt, observation.instruction)
        return request

    def _taken(self, answer: Mapping[str, Any]) -> np.ndarray:
        """The actions [T, J] in an answer, checked, in our units and the server's order."""
        key = self.server.chunk
        found: Any = answer
        for step in key.split(">"):
            found = found.get(step) if isinstance(found, Mapping) else None
        if found is None:
            has = plain(", ".join(map(str, answer)), 200) or "nothing"
            raise self._lie(f"has no '{key}' but {has}")
        try:
            actions = np.asarray(found, dtype=float)
        except (TypeError, ValueError):
            raise self._lie(f"'{key}' holds what are no numbers") from None
        names = self._actions.names
        frames = self.server.frames
        if actions.ndim != 2 or actions.shape[1] != len(names):
            raise self._lie(
                f"'{key}' has the shape {list(actions.shape)}, not [{frames}, {len(names)}]: "
                "see policy.server.actions"
            )
        if len(actions) != frames:
            raise self._lie(
                f"'{key}' has {len(actions)} frames, not {frames}: see policy.server.frames"
            )
        actions = self._actions.ours(actions)
        is_used = np.array([name != NONE for name in names])
        is_finite = np.isfinite(actions).all(axis=0) | ~is_used
        if not is_finite.all():
            wrong = dict.fromkeys(names[column] for column in np.flatnonzero(~is_finite))
            raise self._lie(f"is not finite for {', '.join(wrong)}")
        return actions

    def _chunk(self, actions: np.ndarray, observation: Observation) -> Chunk:
        """A chunk of these actions; joints they do not have stay where they are commanded."""
        positions: dict[Side, dict[Part, np.ndarray]] = {}
        driven: list[Side] = [side for side, _ in self._limits]
        driven += self._actions.latents
        for side in driven:
            parts = observation.executed[side].items()
            positions[side] = {part: np.repeat(rows[-1:], len(actions), 0) for part, rows in parts}
        for key, (taken, joints) in self._actions.places.items():
            side, part = key
            lower, upper = (limits[joints] for limits in self._limits[key])
            values = actions[:, taken]
            self._refuse_far(values, lower, upper, taken)
            positions[side][part][:, joints] = np.clip(values, lower, upper)
        latents: dict[Side, np.ndarray] = {}
        for side, where in self._actions.latents.items():
            assert self._codec is not None
            latents[side] = actions[:, where].astype(np.float32)
            positions[side]["hand"] = self._codec.decode(
                self.rig.hand(side).name, side, latents[side]
            )
        return Chunk(observation.stamp_ns, self.rate_hz, positions, latents)

    def _refuse_far(
        self, values: np.ndarray, lower: np.ndarray, upper: np.ndarray, taken: np.ndarray
    ) -> None:
        beyond = np.maximum(lower - values, values - upper).max(axis=0)
        worst = int(beyond.argmax())
        if beyond[worst] > BEYOND_RAD:
            raise self._lie(
                f"has {self._actions.names[taken[worst]]} {beyond[worst]:.2f} rad beyond its limits"
                f" {lower[worst]:.2f} .. {upper[worst]:.2f}: another joint, unit or zero?"
            )

    def _lie(self, what: str) -> XlvlaError:
        return XlvlaError(f"the answer of the policy server {self.server.address} {what}")

    def _refuse_other(self, said: Mapping[str, Any]) -> None:
        """Refuses a server of xlvla's that says it is not what the rig says; others say nothing."""
        try:
            metadata.refuse_other(said, self._actions, self.server)
        except XlvlaError as error:
            raise XlvlaError(f"the policy server {self.server.address} {error}") from None


def _put(request: dict[str, Any], key: str, value: Any) -> None:
    """Stores a value under a key `a>b`."""
    *maps, last = key.split(">")
    for name in maps:
        request = request.setdefault(name, {})
    request[last] = value


def _infer_ms(answer: Mapping[str, Any]) -> float:
    timing = answer.get("policy_timing")
    said = timing.get("infer_ms") if isinstance(timing, Mapping) else None
    return float(said) if isinstance(said, (int, float)) else math.nan


def _last(observation: Observation) -> Mapping[Side, Mapping[Part, np.ndarray]]:
    """The commands in force, where nobody measured."""
    return {
        side: {part: rows[-1] for part, rows in parts.items()}
        for side, parts in observation.executed.items()
    }
