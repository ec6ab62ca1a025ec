"""Outcomes on disk, one line of JSON each, so that an interrupted evaluation goes on where it
stopped.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from xlvla_cli.eval.trial import Outcome, Trial

FILE = "trials.jsonl"


class OutcomeFile:
    """The outcomes in a folder, by the keys of their trials."""

    def __init__(self, folder: Path, *, fresh: bool = False):
        self._path = folder / FILE
        folder.mkdir(parents=True, exist_ok=True)
        if fresh:
            self._path.unlink(missing_ok=True)
        self.outcomes: dict[str, Outcome] = {}
        for line in self._lines():
            self.outcomes[line["key"]] = _outcome(line)

    def enter(self, trial: Trial, outcome: Outcome) -> None:
        """Keeps an outcome; it is on disk when this returns."""
        self.outcomes[trial.key] = outcome
        line = {
            "key": trial.key,
            "actor": trial.actor,
            "task": trial.task,
            "hands": "+".join(trial.hands),
            "seed": trial.seed,
            **asdict(outcome),
        }
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def _lines(self) -> list[dict[str, Any]]:
        """The complete lines; one that was cut off is removed, from the file, too."""
        if not self._path.is_file():
            return []
        content = self._path.read_bytes()
        complete = content[: content.rfind(b"\n") + 1]
        if len(complete) < len(content):
            self._path.write_bytes(complete)
        return [json.loads(line) for line in complete.splitlines()]


def _outcome(line: dict[str, Any]) -> Outcome:
    # A line of an older version has less.
    values = {field.name: line[field.name] for field in fields(Outcome) if field.name in line}
    return Outcome(**values)
