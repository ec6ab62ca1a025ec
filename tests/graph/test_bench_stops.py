"""A running rig that is stopped while it moves comes to rest within limits, and what a running rig
is asked keeps it apart.
"""

from __future__ import annotations

import pytest

from xlvla import rig_file
from xlvla.run import interruptible, own_domain
from xlvla_cli.bench.adversary.fixed import FIXED
from xlvla_cli.bench.adversary.trial import ALLOWED_M
from xlvla_cli.bench.ros import stops
from xlvla_cli.bench.ros.harm_trial import HarmTrial
from xlvla_cli.bench.ros.running_rig import RunningRig
from xlvla_cli.bench.ros.stop_trial import StopTrial


@pytest.fixture(scope="module")
def emulated():
    with interruptible(), RunningRig(rig_file.load("bimanual_emulated"), own_domain()) as running:
        yield running


@pytest.mark.parametrize(
    "stop",
    [stops.REENGAGE, stops.HALT_MOTION, stops.SIGTERM, stops.SIGKILL],
    ids=lambda stop: stop.name,
)
def test_both_arms_that_move_fast_come_to_rest_within_limits(emulated, stop):
    row = StopTrial(emulated).row(stop, "both")
    assert not row.faults
    assert row.last_speed > 1 or stop.ends == "rest", "it did not move"


def test_arms_of_a_running_rig_that_are_sent_towards_each_other_keep_their_distance(emulated):
    (harmed,) = HarmTrial(emulated).fixed(
        [entry for entry in FIXED if entry.frames == 10 and not entry.beside_rad][:1]
    )
    assert harmed.commanded.room_m < 0.03, "they did not come near each other"
    assert harmed.breach.below_m <= ALLOWED_M
