"""Who says when a trial begins, when it is over, and how far it came."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from xlvla.errors import XlvlaError
from xlvla.screen import Screen
from xlvla_cli.keys import Keys
from xlvla_cli.trials import series

LOOK_S = 0.05

ENTER = "\n"
AGAIN = "r"


@dataclass(frozen=True)
class Verdict:
    """How many of a task's stages a trial reached, in order."""

    stages: int
    notes: str = ""


Look = Callable[[], str]
"""Looks at the rig; a line on how it stands. Called many times a second."""

Press = Callable[[str], str]
"""Does what a key stands for at a running rig; a line on what came of it."""


class Judge(Protocol):
    """A person at a terminal, or the simulation.

    Attributes:
        name: as a trial keeps it.
    """

    name: series.Judge

    def wait(self, what: str, look: Look, ready: Callable[[], bool]) -> None:
        """Returns when what is asked for was done and `ready` says so, too."""
        ...

    def over(self, look: Look) -> bool:
        """Whether the trial is to end now; looks once."""
        ...

    def verdict(self, stages: Sequence[str], found: int) -> Verdict | None:
        """How far it came; None where it does not count and is to be played again.

        Args:
            found: stages that a simulation saw reached.
        """
        ...


class Simulation:
    """Waits for nobody, and believes what the simulation saw."""

    name: series.Judge = "simulation"

    def wait(self, what: str, look: Look, ready: Callable[[], bool]) -> None:
        look()
        while not ready():
            time.sleep(LOOK_S)
            look()

    def over(self, look: Look) -> bool:
        look()
        time.sleep(LOOK_S)
        return False

    def verdict(self, stages: Sequence[str], found: int) -> Verdict | None:
        return Verdict(found)


class Person:
    """A person at a terminal, whose other keys do what they do in `xlvla run`; a context
    manager.
    """

    name: series.Judge = "person"

    def __init__(self, screen: Screen, press: Press):
        self._screen = screen
        self._press = press
        self._keys = Keys()
        self._entered = ExitStack()

    def __enter__(self) -> Person:
        self._entered.enter_context(self._keys)
        if not self._keys.there:
            raise XlvlaError(
                "a person scores at a terminal, and there is none: `--judge simulation` lets the "
                "simulation score"
            )
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._entered.close()

    def wait(self, what: str, look: Look, ready: Callable[[], bool]) -> None:
        self._screen.say((what, "bold"))
        while True:
            self._screen.now(look())
            key = self._keys.pressed()
            if key == ENTER and ready():
                return
            if key == ENTER:
                self._screen.say(f"not yet: {look()}")
            else:
                self._obey(key)
            time.sleep(LOOK_S)

    def over(self, look: Look) -> bool:
        self._screen.now(look())
        key = self._keys.pressed()
        if key == ENTER:
            return True
        self._obey(key)
        time.sleep(LOOK_S)
        return False

    def verdict(self, stages: Sequence[str], found: int) -> Verdict | None:
        self._screen.say(("How far did it come?", "bold"))
        self._screen.say("  0  nothing of it")
        for number, stage in enumerate(stages, start=1):
            self._screen.say(f"  {number}  {stage} ({number / len(stages):.2f})")
        self._screen.say(f"  {AGAIN}  it does not count: play it again")
        self._screen.now(f"press 0 to {len(stages)}, or {AGAIN}")
        while True:
            key = self._keys.pressed()
            if key == AGAIN:
                return None
            if key.isascii() and key.isdigit() and int(key) <= len(stages):
                self._screen.say(f"{key} of {len(stages)}")
                return Verdict(int(key), self._typed("notes, Enter for none: "))
            time.sleep(LOOK_S)

    def _obey(self, key: str) -> None:
        if key and (answer := self._press(key)):
            self._screen.say(answer)

    def _typed(self, question: str) -> str:
        """A line of text; meanwhile the terminal echoes and edits it."""
        self._screen.__exit__()
        self._keys.__exit__()
        try:
            return input(question).strip()
        except EOFError:
            return ""
        finally:
            self._keys.__enter__()
            self._screen.__enter__()
