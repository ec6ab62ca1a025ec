"""`xlvla bench motion` measures motion of any rig, alone or beside another's."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from xlvla_cli import bench

app = typer.Typer()
bench.register(app)


@pytest.mark.long
def test_a_rig_without_a_policy_is_measured_at_a_rate_beside_another(tmp_path):
    out = tmp_path / "figures.json"
    arguments = "bench motion g1 --beside bimanual_ur5e --seconds 2 --rounds 2 --rate-hz 100 --out"
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*arguments.split(), str(out)])
    assert done.exit_code == 0, done.output
    assert "g1 over bimanual_ur5e: share of a core" in done.output
    figures = json.loads(out.read_text())
    for measured in (figures, figures["beside"]):
        assert measured["rate_hz"] == pytest.approx(100, rel=0.1)
    shares = figures["share_of_a_core"], figures["beside"]["share_of_a_core"]
    assert figures["ratios"]["share of a core"] == pytest.approx(shares[0] / shares[1])
