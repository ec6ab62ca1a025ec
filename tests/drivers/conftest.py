"""What the tests of devices share."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def hastened():
    """Threads begun in the test do not wait for other programs, where the system permits: a real
    device has a processor of its own.
    """
    if not hasattr(os, "sched_setscheduler"):
        yield
        return
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        yield
        return
    yield
    os.sched_setscheduler(0, *before)
