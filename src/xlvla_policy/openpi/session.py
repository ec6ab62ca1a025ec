"""A client of a served policy: its requests become observations, with the past that it left us."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError, unknown
from xlvla.policy import Chunk, Observation, Policy
from xlvla.rig import Rig
from xlvla.text import plain
from xlvla.types import SECOND, Part, Side
from xlvla_policy.openpi import wire
from xlvla_policy.openpi.metadata import every_joint

KNOWN = ("images", "state", "prompt", "executed", "reset")

MOST_STATES = 4096
"""States that are kept of a client, however often it asks."""

LONGEST_PROMPT = 1000


class Session:
    """One connection's requests, in turn.

    A request is a map: `images` by camera, RGB uint8 [H, W, 3] or [3, H, W]; `state` [J] rad of all
    joints; `prompt`, the rig's instruction without one; `executed` [T, J] rad, the commands of the
    last T frames up to now; `reset`, true in the first request of an episode. Without `executed`,
    the states that came are the path that was executed.
    """

    def __init__(self, rig: Rig, policy: Policy):
        self._rig = rig
        self._policy = policy
        self._joints = every_joint(rig)
        self._span_ns = round(SECOND * policy.frames / policy.rate_hz)
        self._stamps: deque[int] = deque(maxlen=MOST_STATES)
        self._states: deque[np.ndarray] = deque(maxlen=MOST_STATES)
        self._sent: tuple[Chunk, ...] = ()
        self._prompt = ""
        self._previous_total_ms: float | None = None

    def answer(self, frame: bytes | str) -> bytes:
        """The answer to a request: `actions` [T, J] rad and how long they took [ms]; for one thread
        at a time.

        Raises:
            XlvlaError: what is wrong with the request.
        """
        began = time.monotonic()
        observation = self.observation(wire.unpacked(frame), time.monotonic_ns())
        decided_from = time.monotonic()
        chunk = self._policy.predict(observation)
        infer_ms = 1e3 * (time.monotonic() - decided_from)
        self._sent = (*self._sent, chunk)
        actions = self._joints.theirs(chunk.positions)
        timing = {"infer_ms": infer_ms}
        if self._previous_total_ms is not None:
            timing["prev_total_ms"] = self._previous_total_ms
        answer = wire.packed(
            {
                "actions": actions,
                "policy_timing": {"infer_ms": infer_ms},
                "server_timing": timing,
            }
        )
        self._previous_total_ms = 1e3 * (time.monotonic() - began)
        return answer

    def observation(self, request: Mapping[str, Any], now_ns: int) -> Observation:
        """What the policy sees of a request that came now."""
        for key in request:
            if key not in KNOWN:
                raise unknown("key of a request", plain(key, 60), KNOWN)
        images = self._images(request.get("images", {}))
        state = self._numbers(request, "state", (len(self._joints.names),))
        prompt = self._instruction(request.get("prompt"))
        self._heed(request.get("reset", False), prompt, now_ns)
        self._stamps.append(now_ns)
        self._states.append(state)
        if "executed" in request:
            shape = (self._policy.frames, len(self._joints.names))
            executed = self._numbers(request, "executed", shape)
        else:
            executed = self._path(now_ns)
        self._sent = tuple(
            chunk for chunk in self._sent if chunk.stamp_ns > now_ns - 2 * self._span_ns
        )
        return Observation(
            now_ns,
            images,
            prompt,
            self._by_part(executed),
            self._sent,
            measured=self._by_part(state),
        )

    def _heed(self, reset: Any, prompt: str, now_ns: int) -> None:
        """Forgets the past at a reset and after a pause, the chunks at another instruction."""
        paused = bool(self._stamps) and now_ns - self._stamps[-1] > self._span_ns
        if reset or paused:
            self._stamps.clear()
            self._states.clear()
        if reset or paused or prompt != self._prompt:
            self._sent = ()
        self._prompt = prompt

    def _path(self, now_ns: int) -> np.ndarray:
        """The states [T, J] at the last frames, on straight lines between those that came."""
        frames = np.arange(self._policy.frames - 1, -1, -1)
        times_s = -frames / self._policy.rate_hz
        known_s = (np.array(self._stamps) - now_ns) / SECOND
        states = np.array(self._states)
        return np.stack([np.interp(times_s, known_s, joint) for joint in states.T], axis=1)

    def _by_part(self, values: np.ndarray) -> dict[Side, dict[Part, np.ndarray]]:
        """Numbers [..., J] of all joints by side and part."""
        parts: dict[Side, dict[Part, np.ndarray]] = {side: {} for side in self._rig.sides}
        for (side, part), (columns, _) in self._joints.places.items():
            parts[side][part] = values[..., columns]
        return parts

    def _images(self, images: Any) -> dict[str, np.ndarray]:
        if not isinstance(images, Mapping):
            raise XlvlaError("`images` must be a map of pictures by camera")
        found: dict[str, np.ndarray] = {}
        for camera, image in images.items():
            if camera not in self._rig.cameras:
                raise unknown("camera", plain(camera, 60), self._rig.cameras)
            is_picture = isinstance(image, np.ndarray) and image.ndim == 3
            if is_picture and image.shape[0] == 3 and image.shape[2] != 3:
                image = image.transpose(1, 2, 0)
            if not is_picture or image.shape[2] != 3 or image.dtype != np.uint8:
                has = f"{image.dtype} {list(image.shape)}" if is_picture else type(image).__name__
                raise XlvlaError(
                    f"the picture of camera '{camera}' must be RGB uint8 [H, W, 3], is {has}"
                )
            found[camera] = np.ascontiguousarray(image)
        return found

    def _numbers(self, request: Mapping[str, Any], key: str, shape: tuple[int, ...]) -> np.ndarray:
        if key not in request:
            raise XlvlaError(f"a request needs `{key}` {list(shape)} rad")
        try:
            values = np.asarray(request[key], dtype=float)
        except (TypeError, ValueError):
            raise XlvlaError(f"`{key}` holds what are no numbers") from None
        if values.shape != shape:
            raise XlvlaError(f"`{key}` must be {list(shape)}, is {list(values.shape)}")
        is_finite = np.isfinite(values).reshape(-1, shape[-1]).all(axis=0)
        if not is_finite.all():
            wrong = [self._joints.names[column] for column in np.flatnonzero(~is_finite)]
            raise XlvlaError(f"`{key}` is not finite for {', '.join(wrong)}")
        return values

    def _instruction(self, prompt: Any) -> str:
        if prompt is None:
            assert self._rig.policy is not None
            return self._rig.policy.instruction
        if not isinstance(prompt, str) or len(prompt) > LONGEST_PROMPT:
            raise XlvlaError(f"`prompt` must be a text of at most {LONGEST_PROMPT} characters")
        return prompt
