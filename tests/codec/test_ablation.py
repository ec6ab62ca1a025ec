"""The ablation leaves out what it says, and goes on where it was stopped."""

import json
import shutil
from dataclasses import replace

import pytest

from xlvla_policy.latent.ablation import Ablation, variants
from xlvla_policy.latent.recipe import PAPER

SMALL = replace(
    PAPER, batch=16, pool=2048, templates=16, steps=2, encoder=(16,), decoder=(16,), latent=8
)
HANDS = ("ability", "inspire")
POSES = 8


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of an ablation that has trained one row, and that row."""
    folder = tmp_path_factory.mktemp("finished")
    row, trained = steps_of(Ablation(SMALL, HANDS, folder, poses=POSES), "as it is", SMALL)
    assert trained == 2
    return folder, row


@pytest.fixture
def ablation(finished, tmp_path):
    """The same in a folder of its own."""
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    return Ablation(SMALL, HANDS, tmp_path, poses=POSES)


def steps_of(ablation, name, recipe):
    """The row, and how many steps were trained for it."""
    seen = []
    return ablation.row(name, recipe, seen.append), len(seen)


def test_the_rows_are_the_papers():
    found = variants(PAPER, steps=7)
    assert list(found)[:4] == ["as it is", "without distance", "without direction", "without both"]
    assert (found["without distance"].distance, found["without distance"].direction) == (
        0,
        PAPER.direction,
    )
    assert (found["without direction"].distance, found["without direction"].direction) == (
        PAPER.distance,
        0,
    )
    assert (found["without both"].distance, found["without both"].direction) == (0, 0)
    assert {recipe.latent for recipe in found.values()} == {8, 16, 32, 64, 128}
    assert (
        found["hidden 128-256-128"].encoder
        == found["hidden 128-256-128"].decoder
        == (128, 256, 128)
    )
    assert {recipe.steps for recipe in found.values()} == {7}


def test_a_finished_row_is_read_not_trained_again(ablation, finished):
    again, trained = steps_of(ablation, "as it is", SMALL)
    assert trained == 0 and again == finished[1]
    assert again.metrics["recon_joint_rad"] > 0


def test_a_row_of_another_recipe_is_trained_anew(ablation):
    assert steps_of(ablation, "as it is", replace(SMALL, steps=3))[1] == 3


@pytest.mark.long
def test_a_row_of_another_seed_is_trained_anew(ablation):
    assert steps_of(replace(ablation, seed=1), "as it is", SMALL)[1] == 2


def test_a_damaged_row_is_trained_anew(ablation, tmp_path):
    (tmp_path / "as_it_is.json").write_text('{"name": "as')
    assert steps_of(ablation, "as it is", SMALL)[1] == 2
    assert json.loads((tmp_path / "as_it_is.json").read_text())["hands"] == list(HANDS)
    assert not list(tmp_path.glob("*.part"))
