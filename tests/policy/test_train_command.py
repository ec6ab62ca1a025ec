"""What the command line makes of its options."""

from __future__ import annotations

import pytest

from xlvla.errors import XlvlaError
from xlvla_cli.train import chosen_recipe
from xlvla_policy.training.recipe import usual

NOTHING = {"freeze": "", "lora": ""}


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
    recipe = chosen_recipe(usual(preset), NOTHING | options)
    assert (recipe.steps, recipe.minutes) == end


def test_parts_ranks_and_precision_are_read_from_words():
    options = {
        "freeze": "vision, language",
        "lora": "action=32",
        "lora_on": "attention",
        "precision": "bfloat16",
        "batch": 8,
    }
    recipe = chosen_recipe(usual("small"), options)
    assert (
        recipe.frozen == ("vision", "language")
        and recipe.lora == {"action": 32}
        and recipe.lora_on == ("attention",)
    )
    assert recipe.bf16 and recipe.batch == 8 and recipe.rate == usual("small").rate
    for wrong, complaint in (
        ({"precision": "fp8"}, "--precision fp8"),
        ({"lora": "action"}, "a part and its rank are wanted"),
    ):
        with pytest.raises(XlvlaError, match=complaint):
            chosen_recipe(usual("small"), NOTHING | wrong)
