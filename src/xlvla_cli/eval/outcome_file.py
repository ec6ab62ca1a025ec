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
    """The outcomes that a folder knows, by the keys of their trials."""

    def __init__(self, folder: Path, *, fresh: bool = False):
        self._path = folder / FILE
        folder.mkdir(parents=True, exist_ok=True)
        if fresh:
            self._path.unlink(missing_ok=True)
        self.outcomes: dict[str, Outcome] = dict(_read(line) for line in self._lines())

    def enter(self, trial: Trial, outcome: Outcome) -> None:
        """Keeps an outcome; it is on disk when this returns."""
        self.outcomes[trial.key] = outcome
        about = {
            "key": trial.key,
            "actor": trial.actor,
            "task": trial.task,
            "hands": "+".join(trial.hands),
            "seed": trial.seed,
        }
        with self._path.open("a") as file:
            file.write(json.dumps(about | asdict(outcome)) + "\n")

    def _lines(self) -> list[dict[str, Any]]:
        """What was written whole; a line that was cut off is forgotten, in the file, too."""
        if not self._path.is_file():
            return []
        content = self._path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            self._path.write_bytes(whole)
        return [json.loads(line) for line in whole.splitlines()]


def _read(line: dict[str, Any]) -> tuple[str, Outcome]:
    return line["key"], Outcome(**{field.name: line[field.name] for field in fields(Outcome)})
