"""Somebody at a rig with a recorder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from xlvla import graph, rig_file
from xlvla.recording import RecorderConfig
from xlvla.rig import Rig
from xlvla.ros import convert, topics
from xlvla.ros.clock import SimClock
from xlvla.ros.reader import Reader
from xlvla.run import Supervisor, own_domain
from xlvla.types import CHUNK_HZ, PARTS
from xlvla_cli.ros.controls import Controls
from xlvla_cli.ros.operator import Operator

WAIT_S = 60.0


class Desk:
    """Somebody at a rig with a recorder."""

    def __init__(self, operator: Operator, rig: Rig, check: Callable[[], None]):
        self.operator = operator
        self.rig = rig
        self.check = check
        self.controls = Controls(operator, rig)
        self.cues: list[tuple[str, str]] = []
        self._status = Reader(operator.node, topics.RECORDER_STATUS)
        self._said: dict[str, Any] = {}
        self._chunks = {
            side: operator.node.create_publisher(topic.type, topic.name, topic.qos)
            for side in rig.sides
            for topic in [topics.chunk(side)]
        }

    @property
    def status(self) -> dict[str, Any]:
        if (message := self._status.newest()) is not None:
            self._said = json.loads(message.data)
        return self._said

    def until(self, true: Callable[[], Any], otherwise: str) -> Any:
        give_up = time.monotonic() + WAIT_S
        while not (value := true()):
            assert time.monotonic() < give_up, f"{otherwise}: {self.status}, {self.cues}"
            self.check()
            self.cues += self.controls.cues()
            time.sleep(0.01)
        return value

    def press(self, key: str, *words: str) -> str:
        """Presses a key; the line of the cue with one of these words."""
        self.controls.cues()
        self.cues.clear()
        self.controls.press(key)
        return self.until(
            lambda: next((line for word, line in self.cues if word in words), None),
            f"no cue of {words}",
        )

    def record(self, seconds: float, clock: SimClock | None = None) -> Path:
        """Records so long, with chunks that move the robot where there is a clock; the episode's
        folder.
        """
        self.operator.call(topics.RECORDER_START)
        folder = Path(
            self.until(
                lambda: self.status.get("state") == "recording" and self.status["folder"],
                "it does not record",
            )
        )
        end = time.monotonic() + seconds
        next_chunk = 0.0
        while time.monotonic() < end:
            if clock and time.monotonic() > next_chunk:
                self._move(clock)
                next_chunk = time.monotonic() + 0.4
            self.until(lambda: True, "")
            time.sleep(0.01)
        return folder

    def _move(self, clock: SimClock) -> None:
        now_ns = clock.now_ns()
        for side, publisher in self._chunks.items():
            times = now_ns / convert.SECOND + (1 + np.arange(40)) / CHUNK_HZ
            pose = np.array(list(self.rig.start(side).values()))
            rows = pose + np.sin(times)[:, None] * np.where(np.arange(len(pose)) == 3, 0.15, 0.0)
            names = [name for part in PARTS for name in self.rig.joint_names(side, part)]
            publisher.publish(convert.trajectory(names, rows, now_ns, CHUNK_HZ))


def recorded_rig(folder: Path, **choices: Any) -> Rig:
    rig = rig_file.with_choices(rig_file.load("bimanual"), policy="none", hands={"left": "inspire"})
    return replace(
        rig,
        recorder=RecorderConfig(
            folder=str(folder), instruction="Push the cans.", least_free_gb=1e-6, **choices
        ),
    )


@contextmanager
def recorder(
    rig: Rig, operator: Operator, others: Callable[[], None] = lambda: None
) -> Iterator[tuple[Desk, Supervisor]]:
    """A recorder that is started beside a rig that runs."""
    specs = graph.chosen(rig, only=["recorder"])
    with Supervisor(rig, specs, domain=own_domain()) as supervisor:
        supervisor.wait_ready()

        def check() -> None:
            others()
            supervisor.check()

        desk = Desk(operator, rig, check)
        desk.until(lambda: desk.status, "the recorder says nothing")
        yield desk, supervisor
