"""Processes that share a command's work."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from typing import TypeVar

Job = TypeVar("Job")
Done = TypeVar("Done")


def pool(workers: int) -> ProcessPoolExecutor:
    """Processes that end with this one, however it ends."""
    return ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_follow, initargs=(os.getpid(),)
    )


def _follow(parent: int) -> None:
    from xlvla.ros import supervision

    os.environ[supervision.PARENT] = str(parent)
    supervision.follow_parent()


def finished(
    processes: ProcessPoolExecutor, work: Callable[[Job], Done], jobs: Sequence[Job], ahead: int
) -> Iterator[tuple[Job, Done]]:
    """Jobs and what came of them as they are finished; at most `ahead` are under way, so that
    memory stays small.
    """
    queue = iter(jobs)
    running = dict[Future[Done], Job]()
    while True:
        for job in itertools.islice(queue, ahead - len(running)):
            running[processes.submit(work, job)] = job
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future.result()


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
