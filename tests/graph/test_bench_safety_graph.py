"""Arms of a running rig keep their distance from each other, whatever they are asked."""

from __future__ import annotations

import pytest

from xlvla import rig_file
from xlvla.run import interruptible, own_domain
from xlvla_cli.bench.adversary.fixed import FIXED
from xlvla_cli.bench.adversary.trial import ALLOWED_M
from xlvla_cli.bench.ros.harm_trial import HarmTrial
from xlvla_cli.bench.ros.running_rig import RunningRig


@pytest.mark.long  # `simulated/test_motion.py` lets two arms meet, `test_bench_stops.py` runs the bench
def test_arms_of_a_running_rig_that_are_sent_towards_each_other_keep_their_distance():
    inwards = [
        entry for entry in FIXED if entry.name == "both joint1 inwards by 1.5 rad in 10 frames"
    ]
    with interruptible(), RunningRig(rig_file.load("bimanual"), own_domain()) as running:
        (harmed,) = HarmTrial(running).fixed(inwards)
    assert harmed.commanded.room_m < 0.03, "they did not come near each other"
    assert harmed.breach.below_m <= ALLOWED_M
