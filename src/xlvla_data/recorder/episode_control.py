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
from xlvla.buttons import RECORDER
from xlvla.errors import XlvlaError, unknown
from xlvla_data.bag.card import EpisodeCard, read_episode_card
from xlvla_data.recorder.recording import Recording
from xlvla_data.recorder.session import DISCARDED, Session
from xlvla_data.verdict import Issue

Cue = Callable[[str, str], None]
"""Called with a word, for the sound, and a line."""


class EpisodeControl:
    """Episodes of one session, from any thread.

    Args:
        begin: makes the recording of an episode in its folder.
        facts: called at an episode's end for what the operator did not give: seed, success.
        sentence: called for the newest instruction.
        cue: called with everything that the operator should hear.
        confirm_s: a second press of `discard` within this time confirms the first.

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
            # What the operator marked counts more than what the simulation found
            facts: dict[str, Any] = {}
            for key, value in self._facts().items():
                if getattr(recording.card, key) is None:
                    facts[key] = value
            if found is None:
                card = recording.finish("stopped by the operator", **facts)
            else:
                card = recording.finish(found.line, [found], **facts)
            cue = "bad" if card.verdict == "red" else "stop"
            return self._say(cue, _ended(card))

    def discard(self) -> str:
        """Discards the last episode, or restores it."""
        with self._lock:
            if self.recording is not None:
                self.stop()
            folder = self._last_folder()
            self.last = self._session.toggle_discarded(folder)
            if self.last.parent.name == DISCARDED:
                _change(self.last, state="discarded")
                return self._say("discard", f"{folder.name} is discarded")
            _change(self.last, state="stopped")
            return self._say("undo", f"{folder.name} is restored")

    def mark(self, success: bool) -> str:
        """Notes the outcome of the current or last episode."""
        with self._lock:
            name = self._note(success=success)
            if success:
                return self._say("success", f"{name} succeeded")
            return self._say("failure", f"{name} failed")

    def relabel(self) -> str:
        """Gives the current or last episode the newest instruction."""
        with self._lock:
            sentence = self._sentence()
            if not sentence:
                raise XlvlaError(f"no instruction yet: publish one on {topics.INSTRUCTION}")
            name = self._note(instruction=sentence)
            return self._say("relabel", f"{name} is '{sentence}'")

    def press(self, button: str) -> str:
        """Carries out a button; returns the result in one line, which is a cue, too."""
        try:
            match button:
                case "record":
                    return self.stop() if self.recording else self.start()
                case "start":
                    return self.start()
                case "stop":
                    return self.stop()
                case "discard":
                    return self._discard_when_confirmed()
                case "success" | "failure":
                    return self.mark(button == "success")
                case "relabel":
                    return self.relabel()
                case "clutch":
                    return ""
                case _:
                    raise unknown("button", button, (*RECORDER, "clutch"))
        except XlvlaError as error:
            return self._say("error", str(error))

    def _discard_when_confirmed(self) -> str:
        now_s = time.monotonic()
        if now_s - self._asked_s < self._confirm_s:
            self._asked_s = -self._confirm_s
            return self.discard()
        self._asked_s = now_s
        folder = self._last_folder()
        action = "restore" if folder.parent.name == DISCARDED else "discard"
        line = f"press again within {self._confirm_s:g} s to {action} {folder.name}"
        return self._say("ask", line)

    def _last_folder(self) -> Path:
        if self.last is None:
            raise XlvlaError("no episode was recorded yet")
        return self.last

    def _note(self, **changes: Any) -> str:
        """Changes the card of the current or last episode; its name."""
        folder = self._last_folder()
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
    """How an episode ended, with the worst finding."""
    line = f"{card.name} ended after {card.duration_s:.1f} s, {card.verdict}"
    if not card.findings:
        return line
    _, _, worst = card.findings[0].partition(": ")
    return f"{line}: {worst}"
