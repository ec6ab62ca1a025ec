"""Everything of a run that is decided before its first step: data, configuration, statistics, and
what weights it begins with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from xlvla import holdout
from xlvla.codec import Codec
from xlvla.errors import XlvlaError, unknown
from xlvla_policy.training import dataset, report, sources
from xlvla_policy.training.choice import Choice
from xlvla_policy.training.dataset import Recorded
from xlvla_policy.training.report import TrainingReport
from xlvla_policy.training.sources import DataSource
from xlvla_policy.vla import checkpoint, frames, pretrained, tokenizer
from xlvla_policy.vla import config as vla_config
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.model import Vla
from xlvla_policy.vla.normalise import Statistics
from xlvla_policy.vla.tokenizer import Tokenizer

SPACES = ("latent", "raw")


@dataclass(frozen=True)
class Prepared:
    """Data, read but for its pictures, and what follows from it."""

    config: VlaConfig
    codec: Codec
    words: Tokenizer
    recorded: tuple[Recorded, ...]
    statistics: Statistics
    report: TrainingReport


def prepare(choice: Choice, codec: Codec | None = None) -> Prepared:
    """Reads the data sets; raises XlvlaError for what cannot be trained on together."""
    codec = codec or Codec.load()
    found = sources.kept(sources.find(choice.data), holdout.parse(choice.holdout))
    config = configured(choice, found)
    words = tokenizer.load(config.max_words, choice.words or tokenizer.SHIPPED)
    if words.vocabulary > config.vocabulary:
        raise XlvlaError(
            f"the tokenizer has {words.vocabulary} words, this model {config.vocabulary}: choose "
            "other --words"
        )
    recorded = tuple(dataset.read(source, config, codec) for source in found)
    statistics = dataset.statistics(recorded)
    if choice.init is not None:
        statistics = taken_over(statistics, choice.init, codec)
    return Prepared(
        config,
        codec,
        words,
        recorded,
        statistics,
        report.compare(recorded, statistics, config, codec, words),
    )


def configured(choice: Choice, found: Sequence[DataSource]) -> VlaConfig:
    """The preset with the cameras and the space chosen; a raw frame is as wide as these robots
    need.
    """
    config = vla_config.preset(choice.preset)
    if choice.cameras:
        config = replace(config, cameras=choice.cameras)
    if choice.space and choice.space not in SPACES:
        raise unknown("space", choice.space, SPACES)
    if choice.space in ("", config.space):
        return config
    if choice.space == "latent":
        return replace(config, space="latent")
    return replace(
        config, space="raw", raw_dim=frames.raw_dim(config, [source.bodies for source in found])
    )


def taken_over(statistics: Statistics, init: Path, codec: Codec) -> Statistics:
    """A policy that goes on learning keeps the statistics it has: its weights mean nothing with
    others.
    """
    if not is_policy(init):
        return statistics
    _, card = checkpoint.load(init, codec=codec.hash)
    return Statistics({**statistics.blocks, **card.statistics.blocks})


def begin(model: Vla, init: Path, codec: Codec) -> tuple[str, ...]:
    """Puts a policy's or imported weights into a model; names of the weights left to chance."""
    if not is_policy(init):
        return pretrained.start(model, init)
    before, _ = checkpoint.load(init, codec=codec.hash)
    try:
        model.load_state_dict(before.state_dict())
    except RuntimeError as error:
        line = " ".join(str(error).split())[:200]
        raise XlvlaError(
            f"{init} is of another size than this model; take the same --preset, --space and "
            f"--cameras: {line}"
        ) from None
    return ()


def is_policy(path: Path) -> bool:
    return pretrained.PublishedWeights(path).metadata.get("format") == checkpoint.FORMAT


def made(
    prepared: Prepared, init: Path | None, device: torch.device, progress: Callable[[str], None]
) -> Vla:
    """The model as training begins."""
    with device:
        model = Vla(prepared.config)
    if init is None:
        return model
    fresh = begin(model, init, prepared.codec)
    if fresh and prepared.words.vocabulary != prepared.config.vocabulary:
        progress(
            "note: these weights read PaliGemma's words: give its tokenizer.model as --words, or "
            "they begin without a language"
        )
    progress(
        f"weights begin as in {init}; "
        f"{'to be trained from nothing: ' + ', '.join(fresh) if fresh else 'all of them'}"
    )
    return model
