"""The bench of the policy: stages add up to the chunk."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from xlvla.cli.bench_policy import bench
from xlvla.errors import XlvlaError
from xlvla_policy.vla import config, speed


def test_the_stages_add_up_to_the_chunk(tmp_path):
    command = f"policy --preset tiny --views 2 --rounds 2 --out {tmp_path / 'a.json'}"
    done = CliRunner().invoke(bench, command.split())
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "a.json").read_text())
    look, observe, step, chunk = report["stages"]
    assert look["flops"] < observe["flops"]
    assert chunk["flops"] == observe["flops"] + 10 * step["flops"]
    assert all(0 < stage["median_s"] <= stage["p99_s"] for stage in report["stages"])


def test_operations_of_a_matrix_product_are_twice_its_volume():
    a, b = torch.zeros(3, 5), torch.zeros(5, 7)
    assert speed.flops_of(lambda: a @ b) == 2 * 3 * 5 * 7


@pytest.mark.parametrize(
    ("choice", "complaint"), [({"device": "tpu"}, "unknown device 'tpu'"), ({"precision": "int3"}, "unknown precision")]
)
def test_what_cannot_be_measured_is_refused_in_one_line(choice, complaint):
    with pytest.raises(XlvlaError, match=complaint):
        speed.bench(config.preset("tiny"), **{"device": "cpu", "precision": "", **choice}, threads=None, rounds=1)
