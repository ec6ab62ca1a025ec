"""A folder of the episodes that were recorded since a rig was started."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from xlvla.errors import XlvlaError

DISCARDED = "discarded"


class Session:
    """Episodes of one start of the rig; its folder is created with the first.

    Args:
        least_free_gb: free space without which no episode begins.
    """

    def __init__(self, root: Path, least_free_gb: float):
        self.folder = _free(root / time.strftime("%Y-%m-%d_%H%M%S"))
        self._least_free_gb = least_free_gb
        self._count = 0

    def begin(self) -> Path:
        """Creates the folder of the next episode.

        Raises:
            XlvlaError: it cannot be created, or the disk is nearly full.
        """
        path = self.folder / f"episode_{self._count:06d}"
        try:
            path.mkdir(parents=True)
            free_gb = shutil.disk_usage(path).free / 1e9
            if free_gb < self._least_free_gb:
                path.rmdir()
                raise XlvlaError(
                    f"{free_gb:.2f} GB are left on the disk of {path}, recorder.least_free_gb is "
                    f"{self._least_free_gb:g}"
                )
        except OSError as error:
            raise XlvlaError(f"cannot record to {path}: {error.strerror}") from None
        self._count += 1
        return path

    def toggle_discarded(self, path: Path) -> Path:
        """Moves an episode to the folder of discarded ones, or back; returns where it is then."""
        discarded = path.parent.name == DISCARDED
        folder = path.parents[1] if discarded else path.parent / DISCARDED
        folder.mkdir(exist_ok=True)
        moved = folder / path.name
        path.rename(moved)
        return moved


def _free(path: Path) -> Path:
    """The path, with a number behind it where it is taken."""
    number = 1
    free = path
    while free.exists():
        free = path.with_name(f"{path.name}_{number}")
        number += 1
    return free
