"""Policies whose numbers tell what they saw, and a server as others write them, for the tests beside it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.asyncio.server import serve

from xlvla.network import listening
from xlvla.policy import Chunk, Observation
from xlvla.rig import Rig
from xlvla_policy.openpi import wire
from xlvla_policy.openpi.server import PolicyServing

WEIGHER = '''
import numpy as np
from xlvla.policy import Chunk


class Weigher:
    """Decides on numbers in which everything it sees leaves a trace."""

    frames, rate_hz = 8, 20.0

    def __init__(self, rig):
        self.rig = rig

    def predict(self, observation):
        seen = sum(float(image.mean()) for image in observation.images.values()) / 2550
        seen += len(observation.instruction) / 1000
        positions = {}
        for side, parts in observation.executed.items():
            positions[side] = {}
            for part, rows in parts.items():
                lower, upper = self.rig.limits(side, part)
                share = 0.4 + 0.2 * np.sin(rows + seen)
                positions[side][part] = lower + share * (upper - lower)
        return Chunk(observation.stamp_ns, self.rate_hz, positions, {})


def load(rig, *, threads=1):
    return Weigher(rig)
'''


def weigher(rig: Rig) -> Any:
    """The policy in that file."""
    content: dict[str, Any] = {}
    exec(WEIGHER, content)
    return content["load"](rig)


@dataclass
class Slow:
    """Another policy's chunks, each after a while."""

    inner: Any
    takes_s: float
    frames: int = 8
    rate_hz: float = 20.0
    asked: list[Observation] = field(default_factory=list)

    def predict(self, observation: Observation) -> Chunk:
        self.asked.append(observation)
        time.sleep(self.takes_s)
        return self.inner.predict(observation)


@contextmanager
def in_a_loop(start: Callable[[], Any]) -> Iterator[None]:
    """A server of websockets in a thread of its own; ended in the end."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    ends = asyncio.Event()

    async def until_the_end() -> None:
        async with await start():
            ready.set()
            await ends.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[until_the_end()])
    thread.start()
    try:
        assert ready.wait(30)
        yield
    finally:
        loop.call_soon_threadsafe(ends.set)
        thread.join(30)
        loop.close()


@contextmanager
def served(rig: Rig, policy: Any, said: list[str] | None = None) -> Iterator[int]:
    """A policy served by xlvla; the port."""
    serving = PolicyServing(rig, policy, (said if said is not None else []).append)
    place = listening("127.0.0.1", 0, "policy", "another server there")
    with in_a_loop(lambda: serving.start(place)):
        yield place.getsockname()[1]
    serving.close()


class TheirServer:
    """A server as openpi's: the metadata, then for each request what `answer` makes of it, computed
    in the loop itself. `answer` returns a message, frames to be sent as they are, or None: it hangs up.
    """

    def __init__(
        self,
        answer: Callable[[dict[str, Any]], Any],
        metadata: dict[str, Any] | None = None,
        packed: Callable[[Any], bytes] = wire.packed,
    ):
        self.answer = answer
        self.metadata = metadata or {}
        self.requests: list[dict[str, Any]] = []
        self.connections = 0
        self.port = 0
        self._packed = packed

    async def _handle(self, connection: Any) -> None:
        self.connections += 1
        await connection.send(self._packed(self.metadata))
        async for frame in connection:
            request = wire.unpacked(frame)
            self.requests.append(request)
            answer = self.answer(request)
            if answer is None:
                return
            frames = answer if isinstance(answer, list) else [self._packed(answer)]
            for each in frames:
                await connection.send(each)

    @contextmanager
    def running(self) -> Iterator[TheirServer]:
        """On the port it had before, if it ran before."""
        place = listening("127.0.0.1", self.port, "policy", "another server there")
        self.port = place.getsockname()[1]

        async def start() -> Any:
            return await serve(self._handle, sock=place, compression=None, max_size=None)

        with in_a_loop(start):
            yield self


def executed(rig: Rig, frames: int, seed: int = 0) -> Any:
    """Commands [T, J] within the joints' limits."""
    generator = np.random.default_rng(seed)
    found: Any = {side: {} for side in rig.sides}
    for side, part in rig.parts:
        lower, upper = rig.limits(side, part)
        found[side][part] = generator.uniform(lower, upper, (frames, len(lower)))
    return found


def pictures(rig: Rig, seed: int = 0) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    sizes = {name: camera.publish for name, camera in rig.cameras.items()}
    return {
        name: generator.integers(0, 255, (height, width, 3), np.uint8)
        for name, (width, height) in sizes.items()
    }
