"""A running rig under observation: its processes, the operator, and what is measured."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xlvla import graph
from xlvla.errors import XlvlaError
from xlvla.graph import NodeSpec
from xlvla.network import discovery_settings
from xlvla.node_process import Listener
from xlvla.rig import Rig
from xlvla.ros import neighbours
from xlvla.ros.silence import Silence
from xlvla.run import Supervisor
from xlvla_cli.ros.measure import Measure
from xlvla_cli.ros.operator import Operator

LINGER_S = 0.7
"""How long a finished episode that is recorded goes on."""

MEET_S = 20.0
"""How long nodes that run may take to find each other."""

STALLED_S = 60.0
"""An episode whose simulated time stands still for this long has failed."""


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


@dataclass(frozen=True)
class Moment:
    """The simulation's generalised positions at one time, and its status."""

    positions: np.ndarray
    status: dict[str, Any] = field(repr=False)


class Session:
    """Context manager: entered, every node of the rig is up; left, none is.

    Args:
        specs: the nodes to start, where others run elsewhere; None: all.
        domain: ROS domain; None keeps the environment's.
        record: whether episodes are recorded for a film, in `moments`.
        listener: gets what the nodes print.
        progress: called while nodes come up, with the names of those awaited.
    """

    def __init__(
        self,
        rig: Rig,
        specs: Sequence[NodeSpec] | None = None,
        *,
        domain: int | None = None,
        record: bool = False,
        listener: Listener = lambda name, line: None,
        progress: Callable[[list[str]], None] = lambda waiting: None,
    ):
        self.rig = rig
        self.moments = list[Moment]()
        self.supervisor = Supervisor(
            rig, specs or graph.nodes(rig), domain=domain, listener=listener
        )
        self._domain = domain
        self._record = record
        self._progress = progress
        self._entered = ExitStack()

    def __enter__(self) -> Session:
        with ExitStack() as stack:
            # The operator leaves before the nodes end.
            stack.callback(self.supervisor.stop)
            # Before any node: where ROS does not start, it says why.
            operator = Operator(
                domain=self._domain, namespace=self.rig.namespace, record=self._record
            )
            self.operator = stack.enter_context(operator)
            self.measure = Measure(self.operator.node, self.rig)
            self.supervisor.__enter__()
            self.supervisor.wait_ready(progress=self._progress)
            self._meet()
            self.silence = Silence(self.operator.node, self.supervisor.nodes)
            self._entered = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._entered.close()

    def _meet(self) -> None:
        """Waits until every node is discovered here: a rig whose nodes do not discover each other
        is not up.
        """
        names = {node.spec.full_name for node in self.supervisor.nodes}
        give_up = time.monotonic() + MEET_S
        while missing := names - set(neighbours.present(self.operator.node)):
            self.supervisor.check()
            if time.monotonic() > give_up:
                names_missing = ", ".join(sorted(missing))
                hint = discovery_settings(os.environ)
                if not hint:
                    hint = "a firewall, or shared memory that others left behind, can be why"
                raise XlvlaError(
                    f"the nodes run but were not discovered within {MEET_S:.0f} s: "
                    f"{names_missing}; {hint}"
                )
            time.sleep(0.02)

    def tick(self) -> dict[str, Any]:
        """Looks once, 20 ms: the newest status. Raises NodeDied when a node has ended."""
        time.sleep(0.02)
        self.supervisor.check()
        self.measure.poll()
        status = self.operator.status()
        self.moments += [Moment(positions, status) for positions in self.operator.states()]
        return status

    def episode(self) -> Iterator[dict[str, Any] | EpisodeResult]:
        """Runs the next episode: a status now and then, at last the result."""
        self.measure.cut()
        began = time.monotonic()
        last = self.operator.reset(idle=self.supervisor.check)
        self.measure.cut()
        moved = began
        while not last["done"]:
            status = self.tick()
            if status["time_s"] != last["time_s"]:
                moved = time.monotonic()
            if time.monotonic() - moved > STALLED_S:
                raise XlvlaError(f"the simulation has stood still for {STALLED_S:.0f} s")
            last = status
            yield last
        wall_s = time.monotonic() - began
        end = time.monotonic() + LINGER_S
        while self._record and time.monotonic() < end:
            yield self.tick()
        yield EpisodeResult(
            episode=last["episode"],
            seed=last["seed"],
            success=last["success"],
            stage=last["stage"],
            text=last["text"],
            duration_s=last["time_s"],
            wall_s=wall_s,
        )
