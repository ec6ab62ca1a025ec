"""Two processes do what one does, and go on from what it leaves."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import shared_training
import torch
from safetensors.torch import load_file
from shared_training import HALF, PARTLY, RECIPE, batches_of, trainer

from xlvla.errors import XlvlaError
from xlvla_policy.training import state
from xlvla_policy.training.parallel import Group
from xlvla_policy.vla import checkpoint

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def folder(stored, tmp_path_factory):
    """What two processes and one left, each on their own."""
    out = tmp_path_factory.mktemp("shared")
    batches = batches_of(str(stored[0].data.root))
    losses = {}
    for name, recipe in (("whole", RECIPE), ("partly", PARTLY), ("half", HALF)):
        one = trainer(batches, recipe)
        losses[name] = [one.advance().loss for _ in range(2)]
        if name == "whole":
            state.save(one, out / "alone.state")
        losses[name] += [one.advance().loss for _ in range(2)]
        state.write(one, out / f"{name}.alone.safetensors", one.weights(torch.float32), {})
    (out / "alone.json").write_text(json.dumps(losses))
    subprocess.run(
        [*TORCHRUN, shared_training.__file__, str(stored[0].data.root), str(out)],
        check=True,
        timeout=300,
    )
    return out


@pytest.mark.parametrize("name", ["whole", "partly"])
def test_two_processes_lose_what_one_loses_and_write_the_same_weights(folder, name):
    alone, shared = (
        json.loads((folder / file).read_text())[name] for file in ("alone.json", "losses.json")
    )
    np.testing.assert_allclose(shared, alone, rtol=1e-5)
    alone, shared = (
        load_file(folder / f"{name}.{kind}.safetensors") for kind in ("alone", "shared")
    )
    assert set(alone) == set(shared)
    for key in alone:
        # AdamW steps as far for a gradient near zero as for any other: a few numbers may be further
        # off than the weight is as a whole, which has to be within a twentieth of a step.
        off = (shared[key] - alone[key]).square().mean().sqrt()
        assert off < RECIPE.rate / 20


def test_weights_travel_in_half_precision_where_products_are(folder):
    alone, shared = (
        json.loads((folder / file).read_text())["half"] for file in ("alone.json", "losses.json")
    )
    np.testing.assert_allclose(shared, alone, rtol=5e-3)


def test_a_run_goes_on_with_another_number_of_processes(folder, stored):
    alone, shared = (
        json.loads((folder / file).read_text()) for file in ("alone.json", "losses.json")
    )
    np.testing.assert_allclose(shared["resumed"], alone["whole"][2:], rtol=1e-5)
    batches = batches_of(str(stored[0].data.root))
    for name, recipe in (("whole", RECIPE), ("partly", PARTLY)):
        one = trainer(batches, recipe)
        state.resume(one, folder / f"{name}.shared.state")
        np.testing.assert_allclose(
            [one.advance().loss for _ in range(2)], alone[name][2:], rtol=1e-5
        )


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(XlvlaError, match="a batch of 5 does not divide among 2 processes"):
        Group(0, 2).numbers(5)
    assert [list(Group(rank, 2).numbers(4)) for rank in (0, 1)] == [[0, 1], [2, 3]]


def test_torchrun_shares_the_command_and_only_the_first_process_talks(stored, tmp_path):
    out = tmp_path / "policy.safetensors"
    options = (
        f"--data {stored[0].data.root} --preset tiny --batch 4 --steps 2 --threads 1 --device cpu "
        f"--cache {tmp_path} --out {out}"
    )
    command = [*TORCHRUN, "-m", "xlvla", "train", "policy", *options.split()]
    said = subprocess.run(command, check=True, timeout=300, capture_output=True, text=True).stdout
    assert said.count("weights written to") == 1 and "on 2 processes" in said
    assert checkpoint.load(out)[1].data["steps"] == 2
    assert sorted(
        path.name for path in tmp_path.iterdir() if path.is_file() and path.suffix != ".npy"
    ) == [
        "policy.md",
        "policy.safetensors",
        "policy.state",
    ]
