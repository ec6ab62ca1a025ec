"""The bench that means harm: it finds nothing in motion as it is, and does find what is wrong
without its look-out.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("pinocchio")

from xlvla_cli import bench
from xlvla_cli.bench.adversary.checker import DistanceCheck, limit_excess
from xlvla_cli.bench.adversary.drive import Drive, Path
from xlvla_cli.bench.adversary.rig_variants import rig_variants
from xlvla_cli.bench.adversary.scenarios import KINDS, planned
from xlvla_cli.bench.adversary.trial import ALLOWED_M
from xlvla_drivers.motion.distance import Distances
from xlvla_drivers.motion.limits import Bounds
from xlvla_drivers.motion.rig_motion import RigMotion

app = typer.Typer()
bench.register(app)

VARIANTS = rig_variants(["xhand"])
SCENARIOS = planned(0, KINDS, VARIANTS, 0.5, 1000)


def run(tmp_path, *arguments):
    """(exit code, figures) of the command; a path in the list is where figures are written."""
    out = tmp_path / "safety.json"
    done = CliRunner().invoke(
        app, ["bench", "safety", "--hands", "xhand", "--no-fixed", "--out", str(out), *arguments]
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(out.read_text())


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """The exit code of a bench of two kinds, and its figures."""
    folder = tmp_path_factory.mktemp("tried")
    return run(folder, "--chunks", "100", "--kind", "meet", "--kind", "table")


def test_nothing_comes_nearer_than_it_may_and_the_same_seed_offers_the_same(tried):
    code, figures = tried
    assert code == 0
    total = figures["kinds"][-1]
    assert total["offered"] >= 100 and total["accepted"] > 20
    assert total["breach"]["below_m"] < ALLOWED_M
    chosen = planned(0, ("meet", "table"), VARIANTS, 0.5, 100)
    assert set(figures["scenarios"]) == {scenario.key for scenario in chosen}
    asked = [figures["scenarios"][scenario.key]["offered"] for scenario in chosen]
    rig = chosen[-1].variant.rig()
    once, again = (Drive(chosen[-1], rig, RigMotion(rig), Distances(rig)).run() for _ in range(2))
    assert asked[-1] == once.offered == again.offered >= chosen[-1].chunks
    assert once.ticks_s[:100] == again.ticks_s[:100]
    assert np.allclose(once.poses[:40], again.poses[:40], atol=1e-6)


def test_without_the_look_out_arms_meet_and_the_bench_says_so(tmp_path):
    code, figures = run(tmp_path, "--chunks", "20", "--kind", "meet", "--unsafe-baseline")
    assert code == 1
    total = figures["kinds"][-1]
    assert total["breach"]["below_m"] > 0.01 and total["faults"]


def test_what_was_tried_is_not_tried_again(tried, tmp_path):
    first = deepcopy(tried[1])
    marked = tmp_path / "safety.json"
    for figures in first["scenarios"].values():
        figures["braked"] = 1234
    marked.write_text(json.dumps(first))
    _, second = run(tmp_path, "--chunks", "20", "--kind", "meet")
    assert all(figures["braked"] == 1234 for figures in second["scenarios"].values())
    _, third = run(tmp_path, "--chunks", "20", "--kind", "meet", "--fresh")
    assert all(figures["braked"] != 1234 for figures in third["scenarios"].values())


def test_every_kind_is_planned_on_every_arm_and_a_plan_is_of_its_seed_alone():
    assert {scenario.kind for scenario in planned(0, KINDS, VARIANTS, 0.5, 5000)} == set(KINDS)
    assert planned(0, KINDS, VARIANTS, 0.5, 5000)[: len(SCENARIOS)] == SCENARIOS
    assert planned(1, KINDS, VARIANTS, 0.5, 1000) != SCENARIOS


def test_the_checker_sees_what_happens_between_two_commands():
    """A fast step whose ends are free, across something in between."""
    rig = VARIANTS[0].rig()
    distances = Distances(rig)
    pose = np.concatenate([list(rig.start(side).values()) for side in rig.sides])
    stop = np.array([gap.margin.stop_m for gap in distances.gaps])
    pose[len(pose) // 2] += 1.2
    end = pose.copy()
    end[0] -= 2.5
    rooms = [
        (distances.at(pose + share * (end - pose)) - stop).min() for share in np.linspace(0, 1, 400)
    ]
    assert min(rooms) < -0.02 < 0 < min(rooms[0], rooms[-1])
    _, breach = DistanceCheck(distances).look([pose, end])
    assert breach.below_m == pytest.approx(-min(rooms), abs=2e-3)


@pytest.mark.parametrize(
    ("name", "share"), [("velocity", 1.05), ("acceleration", 1.05), ("jerk", 1.05)]
)
def test_a_limit_that_is_exceeded_is_seen_whatever_the_ticks(name, share):
    rng = np.random.default_rng(0)
    ticks = rng.uniform(0.001, 0.01, 200)
    times = np.concatenate([[0.0], np.cumsum(ticks)])
    order = {"velocity": 1, "acceleration": 2, "jerk": 3}[name]
    values = times**order / [1, 1, 2, 6][order]
    one = np.ones(1)
    bounds = Bounds(
        lower=-100 * one,
        upper=100 * one,
        velocity=1e3 * one,
        acceleration=1e3 * one,
        jerk=1e3 * one,
    )
    path = Path([np.array([value]) for value in values], ticks.tolist())
    kept = replace(bounds, **{name: one / 0.95})
    assert not any(limit_excess(path, [kept]).values())
    tight = replace(bounds, **{name: one / share})
    assert limit_excess(path, [tight])[name] == pytest.approx(share - 1, rel=1e-2)
