"""`xlvla bench chunking`: its figures, on chunks of which they are known."""

from __future__ import annotations

import numpy as np
import pytest

from xlvla import rig_file
from xlvla.errors import RigError, XlvlaError
from xlvla.policy import Chunk
from xlvla_cli.bench import chunking as bench_chunking

RIG = rig_file.load("bimanual")
JOINTS = [len(RIG.joint_names("left", part)) for part in ("arm", "hand")]


def chunk(stamp_s: float, shift: float) -> Chunk:
    """A slow bow of every joint over absolute time, moved aside by `shift`."""
    bow = 0.1 + 0.05 * np.sin(stamp_s + np.arange(1, 65) / 20)[:, None] + shift
    return Chunk(
        round(1e9 * stamp_s),
        20.0,
        {"left": {"arm": np.tile(bow, JOINTS[0]), "hand": np.tile(bow, JOINTS[1])}},
        {},
    )


def seam(shift: float):
    """Figures of three chunks, each so far aside of the one before, with commands that follow the
    bow itself.
    """
    sent = [(0.8 * k + 0.2, chunk(0.8 * k, shift * k)) for k in range(3)]
    times = np.arange(3 * RIG.motion.rate_hz) / RIG.motion.rate_hz
    commanded = np.tile(0.1 + 0.05 * np.sin(times)[:, None], sum(JOINTS))
    found = bench_chunking.side_seam(RIG, "left", sent, list(commanded))
    assert found is not None
    return found


def test_chunks_that_agree_have_no_gap_and_their_own_jerk():
    found = seam(0.0)
    assert found.gap_rad < 1e-3 and found.naive < 1.5


def test_chunks_aside_of_each_other_show_their_gap_and_the_jerk_of_it():
    found = seam(0.02)
    assert found.gap_rad == pytest.approx(0.02 * np.sqrt((1 + 4) / 2), rel=0.05)
    assert found.naive > 100 and found.jerk < found.naive / 10


def test_one_chunk_has_no_seam():
    assert bench_chunking.side_seam(RIG, "left", [(0.2, chunk(0.0, 0.0))], []) is None


def test_a_way_that_nobody_knows_and_a_rig_that_does_not_decide_are_refused():
    policy = bench_chunking.with_chunking(RIG, "guided").policy
    assert policy is not None and policy.chunking == "guided"
    with pytest.raises(RigError, match="did you mean 'ensemble'"):
        bench_chunking.with_chunking(RIG, "ensembel")
    with pytest.raises(XlvlaError, match="nothing to measure"):
        bench_chunking.with_chunking(rig_file.with_choices(RIG, policy="none"), "plain")
