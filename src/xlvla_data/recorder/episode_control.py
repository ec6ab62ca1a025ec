"""The operator's control of episodes: start, stop, discard, mark the outcome; nothing is lost by an
accidental press.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from xlvla import topics
from xlvla.errors import XlvlaError, unknown
from xlvla_data.bag.card import EpisodeCard, read_episode_card
from xlvla_data.recorder.recording import Recording
from xlvla_data.recorder.session import DISCARDED, Session
from xlvla_data.verdict import Issue

Cue = Callable[[str, str], None]
"""Told a word for the sound, and a line."""

BUTTONS = ("record", "start", "stop", "discard", "success", "failure", "relabel")


class EpisodeControl:
    """Episodes of one session, from any thread.

    Args:
        begin: makes the recording of an episode in its folder.
        facts: what is known at its end that the operator did not say: seed, success.
        sentence: what was last said is to be done.
        confirm_s: within this time a second press of `discard` is meant.

    Attributes:
        recording: the episode that is being recorded.
        last: folder of the last one.
    """

    def __init__(
        self,
        session: Session,
        begin: Callable[[Path], Recording],
        facts: Callable[[], dict[str, Any]],
        sentence: Callable[[], str],
        cue: Cue,
        confirm_s: float,
    ):
        self._session = session
        self._begin = begin
        self._facts = facts
        self._sentence = sentence
        self._cue = cue
        self._confirm_s = confirm_s
        self._lock = threading.RLock()
        self._asked_s = -confirm_s
        self.recording: Recording | None = None
        self.last: Path | None = None

    def start(self) -> str:
        with self._lock:
            if self.recording is not None:
                raise XlvlaError(
                    f"{self.recording.folder.name} is being recorded already: stop it first"
                )
            folder = self._session.begin()
            try:
                self.recording = self._begin(folder)
            except OSError as error:
                raise XlvlaError(f"cannot record to {folder}: {error.strerror}") from None
            self.last = folder
            return self._say("start", f"{folder.name} is being recorded")

    def stop(self, found: Issue | None = None) -> str:
        """Ends the episode; `found` is why, where the operator did not ask for it."""
        with self._lock:
            recording = self.recording
            self.recording = None
            if recording is None:
                raise XlvlaError("nothing is being recorded")
            facts = {
                key: value
                for key, value in self._facts().items()
                if getattr(recording.card, key) is None
            }
            why = found.line if found else "stopped by the operator"
            card = recording.finish(why, [found] if found else [], **facts)
            return self._say("stop" if card.verdict != "red" else "bad", _ended(card))

    def discard(self) -> str:
        """Puts the last episode aside, or back where it was."""
        with self._lock:
            if self.recording is not None:
                self.stop()
            folder = self._there()
            self.last = self._session.toggle_discarded(folder)
            discarded = self.last.parent.name == DISCARDED
            _change(self.last, state="discarded" if discarded else "stopped")
            return self._say(
                "discard" if discarded else "undo",
                f"{folder.name} is {'discarded' if discarded else 'restored'}",
            )

    def mark(self, success: bool) -> str:
        with self._lock:
            name = self._note(success=success)
            return self._say(
                "success" if success else "failure",
                f"{name} {'succeeded' if success else 'failed'}",
            )

    def relabel(self) -> str:
        with self._lock:
            if not (sentence := self._sentence()):
                raise XlvlaError(f"no sentence was said yet: publish it on {topics.INSTRUCTION}")
            return self._say("relabel", f"{self._note(instruction=sentence)} is '{sentence}'")

    def press(self, button: str) -> str:
        """Does what a button says; what came of it in one line, which is a cue, too."""
        try:
            match button:
                case "record":
                    return self.stop() if self.recording else self.start()
                case "start":
                    return self.start()
                case "stop":
                    return self.stop()
                case "discard":
                    return self._discard_if_meant()
                case "success" | "failure":
                    return self.mark(button == "success")
                case "relabel":
                    return self.relabel()
                case "clutch":
                    return ""
                case _:
                    raise unknown("button", button, (*BUTTONS, "clutch"))
        except XlvlaError as error:
            return self._say("error", str(error))

    def _discard_if_meant(self) -> str:
        meant = time.monotonic() - self._asked_s < self._confirm_s
        self._asked_s = -self._confirm_s if meant else time.monotonic()
        if meant:
            return self.discard()
        folder = self._there()
        do = (
            f"restore {folder.name}"
            if folder.parent.name == DISCARDED
            else f"discard {folder.name}"
        )
        return self._say("ask", f"press again within {self._confirm_s:g} s to {do}")

    def _there(self) -> Path:
        if self.last is None:
            raise XlvlaError("no episode was recorded yet")
        return self.last

    def _note(self, **changes: Any) -> str:
        """Changes the card of the current or last episode; its name."""
        folder = self._there()
        if self.recording is not None:
            self.recording.relabel(**changes)
        else:
            _change(folder, **changes)
        return folder.name

    def _say(self, word: str, line: str) -> str:
        self._cue(word, line)
        return line


def _change(folder: Path, **changes: Any) -> None:
    try:
        replace(read_episode_card(folder), **changes).write(folder)
    except OSError as error:
        raise XlvlaError(f"cannot write to {folder}: {error.strerror}") from None


def _ended(card: EpisodeCard) -> str:
    worst = f": {card.findings[0].partition(': ')[2]}" if card.findings else ""
    return f"{card.name} ended after {card.duration_s:.1f} s, {card.verdict}{worst}"
