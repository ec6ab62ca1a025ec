"""Retries of a run: one for each fixture that opens a port or a graph, printed, and few."""

from pathlib import Path

import pytest

import retries

pytest_plugins = ["pytester"]

CONFTEST = f"""
import sys

import pytest

sys.path.insert(0, {str(Path(retries.__file__).parent)!r})

import retries

begun = []


def pytest_configure(config):
    config.pluginmanager.register(retries.Plugin(), "retries")


@pytest.fixture
@retries.once_more
def port(request):
    begun.append(request.node.name)
    if begun.count(request.node.name) <= request.param:
        raise OSError("the port is taken")
    yield begun.count(request.node.name)
    begun.append("closed")
"""


@pytest.fixture
def outcome(pytester):
    """Runs tests whose ports are taken so many times each, and returns what pytest prints."""

    def run(*taken, options=()):
        pytester.makeconftest(CONFTEST)
        pytester.makepyfile(
            f"""
            import pytest

            @pytest.mark.parametrize("port", {list(taken)}, indirect=True)
            def test_of_a_port(port):
                assert port
            """
        )
        return pytester.runpytest_inprocess(*options)

    return run


def test_a_run_without_retries_passes_and_says_so(outcome):
    result = outcome(0, 0)
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["retries: 0"])


def test_a_fixture_that_fails_once_is_begun_once_more_and_printed(outcome):
    result = outcome(0, 1)
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        ["retries: 1", "*test_of_a_port*: port: OSError: the port is taken"]
    )


def test_a_fixture_that_fails_twice_fails(outcome):
    result = outcome(2)
    result.assert_outcomes(errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_more_than_two_retries_fail_a_run_whose_tests_all_pass(outcome, options):
    result = outcome(1, 1, 1, options=options)
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["retries: 3", "more than 2 retries: the run fails"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_two_retries_pass(outcome):
    assert outcome(1, 1).ret == pytest.ExitCode.OK


def test_a_test_that_fails_is_not_retried(pytester, outcome):
    outcome(0)
    pytester.makepyfile("def test_of_something_else(): assert False")
    result = pytester.runpytest_inprocess()
    result.stdout.fnmatch_lines(["retries: 0"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_only_a_fixture_that_yields_is_retried():
    with pytest.raises(AssertionError, match="does not yield"):
        retries.once_more(lambda: None)
