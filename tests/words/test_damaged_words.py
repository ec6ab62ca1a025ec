"""Damaged rig files and URDFs end in a line that names them, or are read."""

from __future__ import annotations

import pytest

from mutations import survived
from xlvla import catalog, rig_file, shapes, solids, urdf
from xlvla.inertia import inertia_faults

RIG = """name: mine
description: A rig of one's own.
like: bimanual
sides:
  left: {hand: {type: inspire, device: {address: /dev/ttyUSB0, rate_hz: 40}}}
  right: {hand: {type: ability}, arm: {xyz: [0.0, -0.5, 0.0], home: {joint2: -0.3}}}
cameras: {wrist: {xyz: [0.5, 0.0, 0.6], target: [0.4, 0.0, 0.0], publish: [320, 240]}}
policy: {type: xlvla, replan_s: 0.5, chunking: plain}
motion: {workspace: {left: {lower: [0, 0, 0], upper: [1, 1, 1]}}, touch: {stop_m: -0.006, slow_m: 0.0}}
sim: {task: stack_cans, seed: 7}
recorder: {folder: recordings}
"""


def test_a_damaged_rig_file_is_one_line(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(RIG)
    counts = survived(path, lambda: rig_file.load(path))
    assert counts[False] > 100


@pytest.mark.parametrize("hand", ["inspire", "paxini"])
def test_a_damaged_urdf_is_one_line(hand, tmp_path):
    path = tmp_path / "right.urdf"
    path.write_bytes(catalog.hand(hand).urdf_path("right").read_bytes())

    def read() -> None:
        urdf.load.cache_clear()
        shapes.shapes(path)
        model = urdf.load(path)
        solids.unread(model)
        inertia_faults(model)

    try:
        counts = survived(path, read)
    finally:
        urdf.load.cache_clear()
    assert counts[False] > 30
