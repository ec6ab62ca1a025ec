"""What collecting takes, told by the first episodes that were collected."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xlvla.errors import XlvlaError


@dataclass(frozen=True)
class Estimate:
    """Time [s] and space on the disk [B] that episodes take."""

    seconds: float
    size: float

    def line(self, episodes: int, workers: int, free: int) -> str:
        """In words, beside what is free on the disk [B]."""
        processes = "1 process" if workers == 1 else f"{workers} processes"
        return (
            f"{episodes} episodes to go: about {spoken(self.seconds)} with {processes} and "
            f"{self.size / 1e9:.1f} GB, {free / 1e9:.0f} GB are free"
        )


def estimate(tried: Estimate, limit_s: float, limits_s: Sequence[float], workers: int) -> Estimate:
    """What episodes of tasks with these limits take, by one whose task has `limit_s`: the longer
    the more time a task allows.
    """
    share = sum(limits_s) / limit_s
    return Estimate(share * tried.seconds / workers, share * tried.size)


def refuse_full(folder: Path, estimated: Estimate) -> int:
    """Free space [B] of a folder's disk; raises XlvlaError where that is not enough."""
    free = shutil.disk_usage(folder).free
    if estimated.size > free:
        raise XlvlaError(
            f"{folder} has {free / 1e9:.1f} GB free and the rest takes about "
            f"{estimated.size / 1e9:.1f} GB: choose another --out or fewer --episodes; what is "
            "collected stays"
        )
    return free


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def spoken(seconds: float) -> str:
    """A time as `2 h 10 min`, `10 min` or `20 s`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
