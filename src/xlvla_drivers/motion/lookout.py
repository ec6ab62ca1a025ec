"""Looking at distances beside the control loop."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from xlvla_drivers.motion.guard import Guard, Verdict


class Lookout:
    """Looks at distances in a thread of its own, at the poses it was asked about last.

    Args:
        begin: called in that thread first, to give it its priority.

    Attributes:
        answer: when the newest judged poses were asked about, and the verdict; None before the first.
        failure: why there will be no more answers.
    """

    def __init__(self, guard: Guard, stop: threading.Event, begin: Callable[[], object]):
        self._guard, self._stop, self._begin, self._asked = guard, stop, begin, threading.Event()
        self._question: tuple[int, np.ndarray, list[np.ndarray], float] | None = None
        self.answer: tuple[int, Verdict] | None = None
        self.failure: Exception | None = None
        threading.Thread(target=self._look, name="lookout", daemon=True).start()

    def ask(self, now_ns: int, here: np.ndarray, ahead: list[np.ndarray], rate: float) -> None:
        self._question = now_ns, here, ahead, rate
        self._asked.set()

    def _look(self) -> None:
        self._begin()
        while not self._stop.is_set():
            if not self._asked.wait(0.1) or self._question is None:
                continue
            self._asked.clear()
            now_ns, here, ahead, rate = self._question
            try:
                self.answer = now_ns, self._guard.look(here, ahead, rate)
            except Exception as error:
                self.failure = error
                return
