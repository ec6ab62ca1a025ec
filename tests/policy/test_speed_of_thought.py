"""The bench of the policy: stages add up to the chunk."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from xlvla.errors import XlvlaError
from xlvla_cli.app import app
from xlvla_policy.vla import benchmark, config


def test_the_stages_add_up_to_the_chunk_whatever_runs_them(tmp_path):
    command = (
        "bench policy --preset tiny --views 2 --rounds 2 --engines torch,captured,onnx --out "
        f"{tmp_path / 'a.json'}"
    )
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "a.json").read_text())
    images, *stages = report["stages"]
    assert [stage["engine"] for stage in stages] == [
        name for name in ("torch", "captured", "onnx") for _ in range(3)
    ]
    for first in (0, 3, 6):
        observe, step, chunk = stages[first : first + 3]
        assert 0 < images["flops"] < observe["flops"]
        assert chunk["flops"] == observe["flops"] + 10 * step["flops"] > 0
        assert chunk["median_s"] > observe["median_s"] > 0
    assert all(0 < stage["median_s"] <= stage["p99_s"] for stage in report["stages"])


def test_operations_of_a_matrix_product_are_twice_its_volume():
    a = torch.zeros(3, 5)
    b = torch.zeros(5, 7)
    assert benchmark.flops_of(lambda: a @ b) == 2 * 3 * 5 * 7


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"precision": "int3"}, "unknown precision"),
        ({"engines": ("torch", "captrued")}, "did you mean 'captured'"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(choice, complaint):
    with pytest.raises(XlvlaError, match=complaint):
        benchmark.measure(
            benchmark.Subject(config.preset("tiny"), **choice), threads=None, rounds=1
        )
