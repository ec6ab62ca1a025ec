"""The model card for people: a Markdown file beside the weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from xlvla import files
from xlvla.checksum import CHECKSUM
from xlvla_policy.vla.checkpoint import ModelCard
from xlvla_policy.vla.normalise import BlockStatistics


def beside(weights: Path) -> Path:
    """Path of the card of a weights file."""
    return weights.with_suffix(".md")


def write(weights: Path, card: ModelCard) -> Path:
    """Writes the card, atomically."""
    path = beside(weights)
    with safe_open(weights, "np") as file:
        checksum = file.metadata()[CHECKSUM]
    text = "\n".join(lines(weights.name, checksum, card))
    files.write_text(path, text + "\n")
    return path


def lines(name: str, checksum: str, card: ModelCard) -> Iterator[str]:
    """The card of weights with this name and checksum."""
    data = card.data
    yield f"# {name}"
    yield ""
    yield "A policy of xlvla. The weights file contains all of it, with a checksum."
    yield ""
    yield from _table(("what", ""), _facts(checksum, card))
    yield from ("", "## Data", "")
    yield from _rows(
        data.get("sets", ()),
        ("name", "robot", "episodes", "frames", "share", "cameras", "missing", "latents"),
    )
    sentences = [f'"{sentence}"' for sentence in data.get("instructions", ())]
    yield ""
    yield f"Sentences: {'; '.join(sentences)}"
    yield ""
    yield from ("## Statistics", "")
    yield "What numbers are normalised with; joints in rad, latents pooled over all hands."
    yield ""
    statistics = [_statistics(name, block) for name, block in card.statistics.blocks.items()]
    yield from _table(("block", "joints", "mean", "scale"), statistics)
    yield ""
    yield "And how each data set's numbers compare, in units of that scale but for the range:"
    yield ""
    yield from _rows(
        data.get("numbers", ()), ("name", "block", "lowest", "highest", "shift", "spread", "far")
    )
    yield from _validation(data.get("validation"))
    yield from ("", "## Recipe", "")
    yield from _table(("setting", "value"), list(data.get("recipe", {}).items()))


def _facts(checksum: str, card: ModelCard) -> list[tuple[str, str]]:
    """The first table: size, hashes and origin."""
    config = card.config
    data = card.data
    cameras = ", ".join(config.cameras)
    chunks = "generated from noise; not trained with action prefixes"
    if card.committed:
        chunks = f"trained to continue an action prefix of up to {card.committed} frames"
    init = "nothing"
    if data.get("init"):
        init = f"`{data['init']}`"
    steps = data.get("steps", "?")
    minutes = data.get("training_minutes", "?")
    return [
        (
            "space",
            f"{config.space}, {config.frame_dim} numbers a frame, {config.frames} frames a "
            f"chunk at {config.rate_hz:g} Hz",
        ),
        (
            "size",
            f"{config.layers} layers {config.language.dim} and {config.action.dim} wide, "
            f"images {config.vision.layers} layers",
        ),
        ("cameras", f"{cameras} at {config.vision.width}x{config.vision.height}"),
        ("SHA-256", f"`{checksum}`"),
        ("codec", f"`{card.codec}`"),
        ("tokenizer", f"`{card.words}`"),
        ("chunks", chunks),
        ("begun with", init),
        ("held out", data.get("holdout") or "nothing"),
        ("trained on", data.get("only") or "all hands of the data sets"),
        ("data from the Hub", ", ".join(data.get("hub", ())) or "none"),
        ("training", f"{steps} steps, {minutes} min"),
    ]


def _rows(rows: Sequence[Mapping[str, Any]], titles: Sequence[str]) -> Iterator[str]:
    """A table of these entries of each row."""
    cells: list[list[str]] = []
    for row in rows:
        cells.append([_plain(row[title]) for title in titles])
    yield from _table(titles, cells)


def _statistics(name: str, block: BlockStatistics) -> Sequence[str]:
    return name, ", ".join(block.joints), _range(block.mean), _range(block.scale)


def _range(values: np.ndarray) -> str:
    return f"{values.min():.3f} .. {values.max():.3f}"


def _validation(errors: Mapping[str, Any] | None) -> Iterator[str]:
    if not errors:
        return
    yield from ("", "## On episodes it never saw", "")
    yield from _table(("error", "value"), [(key, _plain(value)) for key, value in errors.items()])


def _table(titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """A Markdown table."""
    rule = ["---"] * len(titles)
    for row in (titles, rule, *rows):
        # A bar would end the cell.
        cells = [str(cell).replace("|", "/") for cell in row]
        yield f"| {' | '.join(cells)} |"


def _plain(value: Any) -> str:
    """A number with four digits, a list by commas."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(each) for each in value)
    return str(value)
