"""Results on disk, so that an interrupted bench goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xlvla import files
from xlvla.errors import XlvlaError


class ResultFile:
    """The figures of scenarios in a JSON file, complete after each of them.

    Args:
        about: what results depend on beside their scenario, such as the code; results about
            something else are discarded.

    Attributes:
        results: figures by a scenario's key.
    """

    def __init__(self, path: Path, about: dict[str, Any], *, fresh: bool = False):
        self.path = path
        self._about = about
        self.results: dict[str, dict[str, Any]] = {}
        if path.is_file() and not fresh:
            self.results = self._read()

    def enter(self, key: str, figures: dict[str, Any]) -> None:
        """Keeps figures; they are on disk when this returns."""
        self.results[key] = figures
        self.close({})

    def close(self, summary: dict[str, Any]) -> None:
        """Writes everything, with a summary."""
        document = {"about": self._about, **summary, "scenarios": self.results}
        files.write_text(self.path, json.dumps(document) + "\n")

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            document = json.loads(self.path.read_text())
            if document["about"] != self._about:
                return {}
            return document["scenarios"]
        except (ValueError, KeyError, TypeError):
            raise XlvlaError(
                f"{self.path} holds no figures of this bench: move it away, or use --fresh to "
                "replace it"
            ) from None
