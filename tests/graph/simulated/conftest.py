"""The rig that these tests share: real processes on a ROS domain of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy")

from rig_bench import Bench

import retries
from xlvla import rig_file
from xlvla.run import interruptible, own_domain
from xlvla_cli.ros.session import Session


@pytest.fixture(scope="package")
@retries.once_more
def bench() -> Iterator[Bench]:
    """The bimanual rig without its policy: tests say what to do themselves."""
    rig = rig_file.with_choices(rig_file.load("bimanual"), policy="none", hands={"left": "inspire"})
    with interruptible(), Session(rig, domain=own_domain()) as session:
        yield Bench(session)


@pytest.fixture(scope="module", autouse=True)
def _no_commands_are_left(bench: Bench) -> Iterator[None]:
    """Motion holds while somebody else may command: no module leaves a publisher to the next."""
    yield
    bench.hush()
