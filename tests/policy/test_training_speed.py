"""How long a step of training takes is measured on made-up data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from xlvla_policy.training import benchmark
from xlvla_policy.training.loop import ALONE
from xlvla_policy.training.recipe import Recipe
from xlvla_policy.vla import config


@pytest.mark.parametrize("cameras", [("front",), ("front", "wrist")])
def test_every_stage_of_a_step_is_timed_and_its_operations_counted(cameras):
    shape = replace(config.preset("tiny"), cameras=cameras)
    report = benchmark.measure(shape, Recipe(batch=4, draws=1), ALONE, threads=1, rounds=2)
    assert [stage.name for stage in report.stages] == list(benchmark.STAGES)
    _, forward, backward, _ = report.stages
    assert 1.5 * forward.flops < backward.flops < 2.5 * forward.flops
    assert report.samples_per_s == pytest.approx(4 / sum(stage.median_s for stage in report.stages))


def test_more_views_cost_more_operations_and_recomputing_costs_forward_ones_again():
    tiny = config.preset("tiny")
    recipe = Recipe(batch=4, draws=1)
    one, two, again = (
        benchmark.measure(shape, chosen, ALONE, threads=1, rounds=1).stages
        for shape, chosen in (
            (tiny, recipe),
            (replace(tiny, cameras=("front", "wrist")), recipe),
            (tiny, replace(recipe, recompute=True)),
        )
    )
    assert two[1].flops > 1.5 * one[1].flops
    assert again[1].flops == one[1].flops and again[2].flops > 1.1 * one[2].flops
