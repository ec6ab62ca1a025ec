"""A rig that runs while somebody watches: its processes, the operator, what is measured and filmed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from xlvla import graph
from xlvla.errors import XlvlaError
from xlvla.film import Film
from xlvla.rig import Rig
from xlvla.ros.measure import Measure
from xlvla.ros.operator import Operator
from xlvla.run import Listener, Supervisor

FILM_HZ = 15
LINGER_S = 0.7
"""How long a finished episode goes on in the film."""

STALLED_S = 60.0
"""An episode whose simulated time stands still for so long has failed."""


@dataclass(frozen=True)
class EpisodeResult:
    """How an episode ended; `duration_s` is simulated, `wall_s` real time."""

    episode: int
    seed: int
    success: bool
    stage: float
    text: str
    duration_s: float
    wall_s: float


class Session:
    """Context manager: entered, every node of the rig is up; left, none is.

    Args:
        domain: ROS domain; None keeps the environment's.
        film: gets pictures of the scene while an episode runs.
        listener: gets what the nodes print.
        progress: called while nodes come up, with the names of those awaited.
    """

    def __init__(
        self,
        rig: Rig,
        *,
        domain: int | None = None,
        film: Film | None = None,
        listener: Listener = lambda name, line: None,
        progress: Callable[[list[str]], None] = lambda waiting: None,
    ):
        self.rig, self.film, self._progress = rig, film, progress
        self.supervisor = Supervisor(rig, graph.nodes(rig), domain=domain, listener=listener)
        self._domain = domain
        self._caption = ""

    def __enter__(self) -> Session:
        self.supervisor.__enter__()
        try:
            self.operator = Operator(domain=self._domain, watch=self.film is not None)
            self.measure = Measure(self.operator.node, self.rig)
            self.supervisor.wait_ready(progress=self._progress)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if hasattr(self, "operator"):
                self.operator.__exit__(None, None, None)
        finally:
            self.supervisor.stop()

    def tick(self) -> dict[str, Any]:
        """Looks once, 20 ms: the newest status. Raises NodeDied when a node has ended."""
        time.sleep(0.02)
        self.supervisor.check()
        self.measure.poll()
        for picture in self.operator.pictures():
            if self.film and self._caption:
                self.film.add(picture, self._caption)
        return self.operator.status()

    def episode(self) -> Iterator[dict[str, Any] | EpisodeResult]:
        """Runs the next episode: a status now and then, at last the result."""
        self.measure.cut()
        began = time.monotonic()
        first = self.operator.reset(idle=self.supervisor.check)
        self.measure.cut()
        last, moved = first, began
        while not last["done"]:
            status = self.tick()
            if status["time_s"] != last["time_s"]:
                moved = time.monotonic()
            if time.monotonic() - moved > STALLED_S:
                raise XlvlaError(f"the simulation has stood still for {STALLED_S:.0f} s")
            last = status
            self._caption = self._describe(last)
            yield last
        yield from self._linger()
        self._caption = ""
        yield EpisodeResult(
            last["episode"], last["seed"], last["success"], last["stage"], last["text"], last["time_s"], time.monotonic() - began
        )

    def _linger(self) -> Iterator[dict[str, Any]]:
        end = time.monotonic() + LINGER_S
        while self.film and time.monotonic() < end:
            status = self.tick()
            self._caption = self._describe(status)
            yield status

    def _describe(self, status: dict[str, Any]) -> str:
        hands = " + ".join(self.rig.hand(side).title for side in self.rig.sides)
        return f"{hands}   episode {status['episode'] + 1}, seed {status['seed']}   {status['time_s']:5.1f} s   {status['text']}"
