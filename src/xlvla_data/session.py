"""A folder of the episodes that were recorded since a rig was started."""

from __future__ import annotations

import time
from pathlib import Path

from xlvla.errors import XlvlaError

DISCARDED = "discarded"


class Session:
    """Episodes of one start; the folder is made with the first."""

    def __init__(self, root: Path):
        self.folder = _free(root / time.strftime("%Y-%m-%d_%H%M%S"))
        self._count = 0

    def begin(self) -> Path:
        """The folder of the next episode, made; XlvlaError where it cannot be."""
        path = self.folder / f"episode_{self._count:06d}"
        try:
            path.mkdir(parents=True)
        except OSError as error:
            raise XlvlaError(f"cannot record to {path}: {error.strerror}") from None
        self._count += 1
        return path

    def toggle_discarded(self, path: Path) -> Path:
        """Puts an episode aside, or back; where it is then."""
        back = path.parent.name == DISCARDED
        there = (path.parents[1] if back else path.parent / DISCARDED) / path.name
        there.parent.mkdir(exist_ok=True)
        path.rename(there)
        return there


def _free(path: Path) -> Path:
    """The path, with a number behind it where it is taken."""
    number, free = 1, path
    while free.exists():
        number, free = number + 1, path.with_name(f"{path.name}_{number}")
    return free
