"""Orders from the panel to a running rig: one at a time, but a stop waits for nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from xlvla.control_source import NOBODY
from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.ros import topics
from xlvla.ros.forms import LONGEST_WORDS
from xlvla.ros.stop import StopReader
from xlvla.types import Part, Side
from xlvla_cli.ros.operator import Operator

AFTER_STOP_S = 1.0
"""For so long after a stop nothing else is obeyed: who stops in a hurry may hit another button,
too, and the space key presses the button that was pressed last.
"""

HEARD_S = 2.0
"""Before this time after a stop, what ends one may have been said before it."""

Answer = Callable[[bool, str], None]
"""Called with whether an order was obeyed, and a line on what came of it; from any thread."""

Order = Callable[[], str]
"""Does something; the line on what came of it, or XlvlaError."""


class PanelOrders:
    """Gives orders from threads of its own; every method may be called from any thread and returns
    at once.
    """

    def __init__(self, operator: Operator, rig: Rig):
        self._operator = operator
        self._rig = rig
        # Guards what is being done, and when a stop was asked for last.
        self._lock = threading.Lock()
        self._doing = ""
        self._stopped_s = float("-inf")
        self._stops = StopReader(operator.node)
        services = [topics.ENGAGE, topics.ESTOP, topics.MOTION_RESET, topics.HOME]
        services += [topics.TELEOP_CLUTCH] if rig.teleop else []
        if rig.recorder:
            services += [
                topics.RECORDER_START,
                topics.RECORDER_STOP,
                topics.RECORDER_DISCARD,
                topics.RECORDER_MARK,
                topics.RECORDER_RELABEL,
            ]
        services += [topics.SIM_RESET] if rig.sim or rig.mirrored else []
        services += [] if rig.sim else [topics.recover(side, part) for side, part in rig.parts]
        for service in services:
            operator.prepare(service)

    def stop(self, answer: Answer) -> None:
        """The e-stop: told to all at once, whatever else is waited for, and then confirmed."""
        with self._lock:
            self._stopped_s = time.monotonic()
        self._operator.stop()
        if self._operator.prepare(topics.ESTOP).service_is_ready():
            self._begin("the e-stop", self._confirm_stop, answer, urgent=True)
        else:
            answer(False, "every device was told to stop; motion is not there to confirm it")

    def follow(self) -> None:
        """Takes the own stop back where somebody ended it: it would stop a driver again that is
        started later. For one thread.
        """
        for order in self._stops.every():
            with self._lock:
                was_heard = time.monotonic() - self._stopped_s > HEARD_S
            if not order.stopped and was_heard:
                self._operator.take_back_stop()

    def _confirm_stop(self) -> str:
        return self._operator.call(topics.ESTOP)

    def end_stop(self, answer: Answer) -> None:
        self._begin("the end of the e-stop", self._operator.end_stop, answer)

    def engage(self, on: bool, answer: Answer) -> None:
        self._call("Engage" if on else "Disengage", topics.ENGAGE, answer, data=on)

    def home(self, answer: Answer) -> None:
        self._call("Home", topics.HOME, answer)

    def instruct(self, sentence: str, answer: Answer) -> None:
        """Publishes a sentence for the policy and the recorder."""

        def order() -> str:
            words = " ".join(sentence.split())
            if not words:
                raise XlvlaError("an instruction is a sentence: type one, or choose one")
            if len(words) > LONGEST_WORDS:
                raise XlvlaError(f"an instruction has at most {LONGEST_WORDS} characters")
            self._operator.instruct(words)
            return words

        self._begin("the instruction", order, answer)

    def let_drive(self, source: str, answer: Answer) -> None:
        """Says whose chunks motion may play; `NOBODY` for nobody's."""

        def order() -> str:
            self._operator.let_drive(source)
            return "nobody drives: the robot holds" if source == NOBODY else f"{source} may drive"

        self._begin(f"the choice of {source}", order, answer)

    def clutch(self, close: bool, answer: Answer) -> None:
        self._call("the clutch", topics.TELEOP_CLUTCH, answer, data=close)

    def record(self, begin: bool, answer: Answer) -> None:
        service = topics.RECORDER_START if begin else topics.RECORDER_STOP
        self._call("the recorder", service, answer)

    def mark(self, success: bool, answer: Answer) -> None:
        self._call("the recorder", topics.RECORDER_MARK, answer, data=success)

    def discard(self, answer: Answer) -> None:
        self._call("the recorder", topics.RECORDER_DISCARD, answer)

    def relabel(self, answer: Answer) -> None:
        self._call("the recorder", topics.RECORDER_RELABEL, answer)

    def recover(self, side: Side, part: Part, answer: Answer) -> None:
        self._call(f"the {side} {part}", topics.recover(side, part), answer)

    def new_scene(self, answer: Answer) -> None:
        def order() -> str:
            self._operator.reset()
            return "a new scene"

        self._begin("the new scene", order, answer)

    def _call(self, what: str, service: topics.Service, answer: Answer, **fields: Any) -> None:
        self._begin(what, lambda: self._operator.call(service, **fields) or "done", answer)

    def _begin(self, what: str, order: Order, answer: Answer, *, urgent: bool = False) -> None:
        """Does an order in a thread of its own; refuses it while another is being waited for: an
        order that is obeyed later than its button was pressed surprises.
        """
        with self._lock:
            just_stopped = time.monotonic() - self._stopped_s < AFTER_STOP_S
            why = f"still waiting for {self._doing}" if self._doing else ""
            if just_stopped and not urgent:
                why = f"{what} is not obeyed right after an e-stop"
            if not why:
                self._doing = what
        if why:
            answer(urgent, "every device was told to stop" if urgent else why)
            return
        threading.Thread(
            target=self._do, args=(order, answer), name="panel's order", daemon=True
        ).start()

    def _do(self, order: Order, answer: Answer) -> None:
        began_s = time.monotonic()
        try:
            line = order()
            obeyed = True
        except XlvlaError as error:
            line = str(error)
            obeyed = False
        finally:
            with self._lock:
                self._doing = ""
                overtaken = self._stopped_s > began_s
        if overtaken:
            # What was on its way when the stop came must not have ended it.
            self._operator.stop()
        answer(obeyed, line)
