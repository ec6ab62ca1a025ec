"""The model card: what weights are, for people, in a Markdown file beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open

from xlvla import files
from xlvla_policy.vla.checkpoint import ModelCard
from xlvla_policy.vla.normalise import Known
from xlvla_policy.vla.stream import CHECKSUM


def beside(weights: Path) -> Path:
    """Where the card of a weights file is."""
    return weights.with_suffix(".md")


def write(weights: Path, card: ModelCard) -> Path:
    """Writes the card, atomically."""
    path = beside(weights)
    with safe_open(weights, "np") as file:
        checksum = file.metadata()[CHECKSUM]
    files.write_text(path, "\n".join(lines(weights.name, checksum, card)) + "\n")
    return path


def lines(name: str, checksum: str, card: ModelCard) -> Iterator[str]:
    config = card.config
    data = card.data
    yield from (
        f"# {name}",
        "",
        "A policy of xlvla. The weights file contains all of it, with a checksum.",
        "",
    )
    continues = f"trained to continue an action prefix of up to {card.committed} frames"
    yield from _table(
        ("what", ""),
        [
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
            (
                "cameras",
                f"{', '.join(config.cameras)} at {config.vision.width}x{config.vision.height}",
            ),
            ("SHA-256", f"`{checksum}`"),
            ("codec", f"`{card.codec}`"),
            ("tokenizer", f"`{card.words}`"),
            (
                "chunks",
                continues
                if card.committed
                else "generated from noise; not trained with action prefixes",
            ),
            ("begun with", f"`{data['init']}`" if data.get("init") else "nothing"),
            ("held out", data.get("holdout") or "nothing"),
            (
                "training",
                f"{data.get('steps', '?')} steps, {data.get('training_minutes', '?')} min",
            ),
        ],
    )
    yield from ("", "## Data", "")
    yield from _rows(
        data.get("sets", ()),
        ("name", "robot", "episodes", "frames", "share", "cameras", "missing", "latents"),
    )
    yield from (
        "",
        "Sentences: " + "; ".join(f'"{sentence}"' for sentence in data.get("instructions", ())),
        "",
    )
    yield from (
        "## Statistics",
        "",
        "What numbers are normalised with; joints in rad, latents pooled over all hands.",
        "",
    )
    yield from _table(
        ("block", "joints", "mean", "scale"),
        [_statistics(name, known) for name, known in card.statistics.blocks.items()],
    )
    yield from (
        "",
        "And how each data set's numbers compare, in units of that scale but for the range:",
        "",
    )
    yield from _rows(
        data.get("numbers", ()), ("name", "block", "lowest", "highest", "shift", "spread", "far")
    )
    yield from _validation(data.get("validation"))
    yield from ("", "## Recipe", "")
    yield from _table(
        ("setting", "value"), [(key, value) for key, value in data.get("recipe", {}).items()]
    )


def _rows(rows: Sequence[Mapping[str, Any]], titles: Sequence[str]) -> Iterator[str]:
    yield from _table(titles, [[_plain(row[title]) for title in titles] for row in rows])


def _statistics(name: str, known: Known) -> Sequence[str]:
    mean, scale = (
        f"{values.min():.3f} .. {values.max():.3f}" for values in (known.mean, known.scale)
    )
    return name, ", ".join(known.joints), mean, scale


def _validation(errors: Mapping[str, Any] | None) -> Iterator[str]:
    if errors:
        yield from ("", "## On episodes it never saw", "")
        yield from _table(
            ("error", "value"), [(key, _plain(value)) for key, value in errors.items()]
        )


def _table(titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    for row in (titles, ["---"] * len(titles), *rows):
        yield "| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |"


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return (
        ", ".join(_plain(each) for each in value)
        if isinstance(value, (list, tuple))
        else str(value)
    )
