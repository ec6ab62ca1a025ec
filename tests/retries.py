"""One retry for what opens a port or a graph, counted: a machine may be too busy for a start, but
not often.

Nothing else is retried, and no test is. The retries of a run are printed at its end, and a run with
more than `MOST` fails.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

MOST = 2
"""Retries that a run may have and still pass."""

_KEY = "retried"

Fixture = TypeVar("Fixture", bound=Callable[..., Iterator[object]])

_not_reported: list[str] = []
"""Retries of this process since the last report of a test."""


def once_more(fixture: Fixture) -> Fixture:
    """Decorates the function of a fixture that yields: if it raises before that, it is begun once
    more.
    """
    assert inspect.isgeneratorfunction(fixture), f"{fixture.__name__} does not yield"

    @functools.wraps(fixture)
    def begun(*args, **kwargs):
        generator = fixture(*args, **kwargs)
        try:
            value = next(generator)
        except Exception as error:
            first_line = (str(error).splitlines() or [""])[0]
            _not_reported.append(f"{fixture.__name__}: {type(error).__name__}: {first_line}")
            generator = fixture(*args, **kwargs)
            value = next(generator)
        yield value
        next(generator, None)

    return begun  # type: ignore[return-value]


class Plugin:
    """Carries retries to the process that prints, also from a worker of xdist, and judges them."""

    def __init__(self) -> None:
        self._retries: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        for retry in _not_reported:
            report.user_properties.append((_KEY, f"{item.nodeid}: {retry}"))
        _not_reported.clear()
        return report

    def pytest_runtest_logreport(self, report):
        self._retries += [text for key, text in report.user_properties if key == _KEY]

    def pytest_terminal_summary(self, terminalreporter):
        terminalreporter.write_line(f"retries: {len(self._retries)}")
        for retry in self._retries:
            terminalreporter.write_line(f"  {retry}")
        if self._are_too_many:
            terminalreporter.write_line(f"more than {MOST} retries: the run fails", red=True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session):
        if self._are_too_many and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @property
    def _are_too_many(self) -> bool:
        return len(self._retries) > MOST
