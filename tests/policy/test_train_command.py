"""What the command line makes of its options."""

from __future__ import annotations

from dataclasses import fields

import pytest
import typer
from typer.testing import CliRunner

from xlvla.errors import XlvlaError
from xlvla_cli import train
from xlvla_cli.dataclass_options import argument_help, numbers, options_of
from xlvla_policy.training.choice import Choice
from xlvla_policy.training.recipe import Recipe, changed, usual


@pytest.mark.parametrize(
    ("preset", "options", "end"),
    [
        ("small", {}, (None, 40)),
        ("small", {"steps": 9}, (9, None)),
        ("pi0", {}, (30_000, None)),
        ("pi0", {"minutes": 3.0}, (None, 3)),
        ("pi0", {"steps": 5, "minutes": 2.0}, (5, 2)),
    ],
)
def test_training_ends_when_it_is_told_to_or_as_the_preset_says(preset, options, end):
    recipe = changed(usual(preset), options)
    assert (recipe.steps, recipe.minutes) == end


def given(*arguments):
    """What a command with the options of a recipe and a choice receives; the result of the run."""
    app = typer.Typer()
    received = {}

    @app.command()
    @options_of(skip=("data", "bf16", "augmentation"), choice=Choice, recipe=Recipe)
    def command(*, choice, recipe):
        received.update(choice=choice, recipe=recipe)

    return received, CliRunner().invoke(app, list(arguments))


def test_parts_ranks_and_numbers_are_read_from_options():
    received, result = given(
        *("--freeze", "vision, language", "--lora", "action=32", "--lora-on", "attention"),
        *("--batch", "8", "--compile", "--no-recompute", "--cameras", "head", "--words", "a.model"),
    )
    assert result.exit_code == 0, result.output
    recipe = changed(usual("pi0"), received["recipe"], "float32")
    assert recipe.frozen == ("vision", "language")
    assert recipe.lora == {"action": 32}
    assert recipe.lora_on == ("attention",)
    assert recipe.batch == 8 and recipe.compile and not recipe.recompute and not recipe.bf16
    assert recipe.rate == usual("pi0").rate
    choice = Choice(("data",), **received["choice"])
    assert choice.cameras == ("head",) and str(choice.words) == "a.model"


def test_what_is_not_given_stays_the_presets():
    received, _ = given()
    assert received == {"choice": {}, "recipe": {}}


@pytest.mark.parametrize("wrong", [("--batch", "0"), ("--rate", "-1"), ("--committed", "1.5")])
def test_a_number_out_of_range_is_refused(wrong):
    _, result = given(*wrong)
    assert result.exit_code == 2 and wrong[0] in result.output


def test_a_rank_that_is_no_number_and_an_unknown_precision_are_refused():
    with pytest.raises(XlvlaError, match="a part and its rank are wanted"):
        numbers("action")
    with pytest.raises(XlvlaError, match="unknown precision 'fp8'"):
        changed(usual("small"), {}, "fp8")


@pytest.mark.parametrize("kind", [Choice, Recipe])
def test_every_field_has_its_help_in_the_docstring(kind):
    helps = argument_help(kind)
    assert {entry.name for entry in fields(kind)} - {"augmentation"} <= set(helps)


def test_help_shows_the_fields_of_both():
    app = typer.Typer()
    train.register(app)
    text = CliRunner().invoke(app, ["train", "policy", "--help"], env={"COLUMNS": "200"}).output
    for option in ("--preset", "--holdout", "--warm-up", "--lora-alpha", "--resume", "--data"):
        assert option in text
