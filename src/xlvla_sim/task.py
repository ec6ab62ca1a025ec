"""What a task is: objects on the table, stages of success in order, and a plan that a scripted
expert can follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import mujoco
import numpy as np

from xlvla.types import Side
from xlvla_sim.grasp import Grip
from xlvla_sim.state import State


@dataclass(frozen=True)
class TaskStage:
    """One step of a task, worth an equal share: `reached` must hold for `hold_s` on end, after all
    stages before it.
    """

    text: str
    reached: Callable[[State], bool]
    hold_s: float = 0.0


@dataclass(frozen=True)
class TaskStatus:
    """How far an episode is: `stage` 0..1 in equal steps, `done` once it succeeded, cannot succeed
    any more or ran out of time.
    """

    success: bool
    stage: float
    done: bool
    text: str


@dataclass(frozen=True)
class WayPoint:
    """Where a wrist goes next and how.

    Args:
        wrist: x, y, z [m] of the grip in the world, then yaw, tilt and roll [rad] of the hand; see
            `xlvla_sim.wrist`.
        duration_s: from the start of this motion to its end.
        hand: the hand shape to take meanwhile, by name or as a pinch width [m]; None keeps the last
            one.
        overlap_s: how long before the end of the previous motion this one begins, for a rounded
            corner.
        grip: the place in the hand that x, y and z are of; None is the flange.
    """

    wrist: np.ndarray
    duration_s: float
    hand: str | float | None = None
    overlap_s: float = 0.0
    grip: Grip | None = None


Segment: TypeAlias = Mapping[Side, Sequence[WayPoint]]
"""Way-points of the sides that move next, from the same moment on; the others stay where they are.
"""

Plan: TypeAlias = Iterator[Segment]
"""Segments of a plan; each is asked for when the one before has been played, so that it may look at
the world again.
"""


class Task(Protocol):
    """One task; it knows nothing of arms.

    Attributes:
        sentence: the instruction of its demonstrations.
        paraphrases: other words for it, which are never trained on.
        beside: a task whose things may stand on the table, too; '' where none fit.
    """

    sentence: str
    paraphrases: Sequence[str]
    beside: str
    time_limit_s: float
    stages: Sequence[TaskStage]

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        """Adds the objects to the world."""
        ...

    def place(self, state: State, rng: np.random.Generator) -> None:
        """Puts the objects where this episode wants them and varies their looks."""
        ...

    def lost(self, state: State) -> str | None:
        """Why the episode cannot succeed any more; None while it can."""
        ...

    def plan(self, state: State, rng: np.random.Generator) -> Plan:
        """The expert's way-points; `state` shows the objects where they are whenever it is looked
        at.
        """
        ...


class Progress:
    """Follows one episode through its stages."""

    def __init__(self, task: Task):
        self.task = task
        self._reached = 0
        self._since_s: float | None = None
        self._lost: str | None = None

    def update(self, state: State, time_s: float) -> None:
        """Looks at the world; call it often."""
        if not self.success and not self._lost:
            self._lost = self.task.lost(state)
        # Several stages may have been reached since the last look.
        while not self.success and not self._lost:
            stage = self.task.stages[self._reached]
            if not stage.reached(state):
                break
            if self._since_s is None:
                self._since_s = time_s
            if time_s - self._since_s < stage.hold_s:
                return
            self._reached += 1
            self._since_s = None
        self._since_s = None

    @property
    def success(self) -> bool:
        return self._reached == len(self.task.stages)

    def status(self, time_s: float) -> TaskStatus:
        late = time_s >= self.task.time_limit_s
        return TaskStatus(
            success=self.success,
            stage=self._reached / len(self.task.stages),
            done=self.success or late or self._lost is not None,
            text=self._text(late),
        )

    def _text(self, late: bool) -> str:
        if self.success:
            return "success"
        if self._lost:
            return self._lost
        if late:
            return "time is over"
        return f"next: {self.task.stages[self._reached].text}"
