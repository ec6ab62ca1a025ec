"""Trains the bundled tokenizer: 512 pieces from the paper's task sentences and similar ones, with
byte fallback.
"""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import sentencepiece

from xlvla_policy.vla.tokenizer import SHIPPED

TASKS = (
    "Put the banana and orange on the green board for cutting.",
    "Stack the cheese can on top of the salt.",
    "Put the tomato can and the cheese can into the container.",
    "Hand over the white bottle from right hand to left hand.",
    "Put the yellow lemon and the green lime into the bowl.",
    "Pour mustard sauce into the meat can.",
    "Keep the table organized by re-arranging the two boxes.",
    "Push the sugar boxes together.",
    "Add sugar to the starfruit.",
    "Push the two tomato cans together.",
)
VERBS = (
    "Push",
    "Pull",
    "Put",
    "Place",
    "Move",
    "Lift",
    "Grasp",
    "Hand over",
    "Pour",
    "Stack",
    "Open",
    "Close",
    "Bring",
)
THINGS = (
    "can",
    "box",
    "bottle",
    "banana",
    "lemon",
    "bowl",
    "container",
    "board",
    "cup",
    "tomato",
    "sugar",
    "salt",
    "lid",
)
COLOURS = ("red", "green", "yellow", "white", "blue", "black", "two")
PLACES = (
    "together",
    "into the container",
    "on top of the box",
    "to the left",
    "to the right",
    "in front of the robot",
    "onto the table",
)


def sentences() -> list[str]:
    """The tasks several times over, and plain combinations of such words."""
    combined = (
        f"{verb} the {colour} {thing} {place}."
        for verb, colour, thing, place in itertools.product(VERBS, COLOURS, THINGS, PLACES)
    )
    return [
        *TASKS * 50,
        *combined,
        *(f"{verb} the {thing}s with both hands." for verb in VERBS for thing in THINGS),
    ]


def train(path: Path = SHIPPED, vocabulary: int = 512) -> Path:
    """Writes the model; the same sentences give the same file."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences()),
        model_writer=model,
        vocab_size=vocabulary,
        model_type="bpe",
        byte_fallback=True,
        pad_id=0,
        eos_id=1,
        bos_id=2,
        unk_id=3,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        character_coverage=1.0,
        num_threads=1,
        minloglevel=2,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.getvalue())
    return path
