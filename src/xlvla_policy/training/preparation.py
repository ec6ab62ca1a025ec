"""Everything of a run that is decided before its first step: data, configuration, statistics, and
what weights it begins with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from xlvla import catalog, holdout
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

SPACES = ("latent", "raw", "retargeted")


@dataclass(frozen=True)
class Prepared:
    """Data, all but its pictures, and what is derived from it."""

    config: VlaConfig
    codec: Codec
    words: Tokenizer
    recorded: tuple[Recorded, ...]
    statistics: Statistics
    report: TrainingReport


def prepare(choice: Choice, codec: Codec | None = None) -> Prepared:
    """Reads the data sets; raises XlvlaError for what cannot be trained on together."""
    codec = codec or Codec.load()
    data = sources.kept(sources.find(choice.data), holdout.parse(choice.holdout))
    if choice.only:
        data = sources.of_hand(data, choice.only)
    config = configured(choice, data)
    words = tokenizer.load(config.max_words, choice.words or tokenizer.SHIPPED)
    if words.vocabulary > config.vocabulary:
        raise XlvlaError(
            f"the tokenizer has {words.vocabulary} words, this model {config.vocabulary}: choose "
            "other --words"
        )
    recorded = tuple(dataset.read(source, config, codec) for source in data)
    statistics = dataset.statistics(recorded)
    if choice.init is not None:
        statistics = taken_over(statistics, choice.init, codec)
    comparison = report.compare(recorded, statistics, config, codec, words)
    return Prepared(config, codec, words, recorded, statistics, comparison)


def configured(choice: Choice, data: Sequence[DataSource]) -> VlaConfig:
    """The preset with the cameras and the space chosen, and the sides that there are data of; a raw
    frame is as wide as these robots need.
    """
    config = vla_config.preset(choice.preset)
    shown = {side for source in data for side in source.bodies}
    config = replace(config, sides=tuple(side for side in config.sides if side in shown))
    if choice.cameras:
        config = replace(config, cameras=choice.cameras)
    if choice.space and choice.space not in SPACES:
        raise unknown("space", choice.space, SPACES)
    if choice.space in ("", config.space):
        return config
    if choice.space == "latent":
        return replace(config, space="latent")
    raw_dim = frames.raw_dim(config, [source.bodies for source in data])
    if choice.space == "raw":
        return replace(config, space="raw", raw_dim=raw_dim)
    if not choice.only:
        raise XlvlaError(
            "--space retargeted acts on one hand's joints: name it, as in --only xhand"
        )
    source_hand = catalog.hand(choice.only).name
    return replace(config, space="retargeted", raw_dim=raw_dim, source_hand=source_hand)


def taken_over(statistics: Statistics, init: Path, codec: Codec) -> Statistics:
    """The statistics of a policy that is trained further, which keeps those it has: its weights
    mean nothing with others.
    """
    if not is_policy(init):
        return statistics
    _, card = checkpoint.load(init, codec=codec.hash)
    return Statistics({**statistics.blocks, **card.statistics.blocks})


def begin(model: Vla, init: Path, codec: Codec) -> tuple[str, ...]:
    """Puts a policy's or imported weights into a model; names of those that stay as drawn."""
    if not is_policy(init):
        return pretrained.start(model, init)
    policy, _ = checkpoint.load(init, codec=codec.hash)
    try:
        model.load_state_dict(policy.state_dict())
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise XlvlaError(
            f"{init} is of another size than this model; take the same --preset, --space and "
            f"--cameras: {reason}"
        ) from None
    return ()


def is_policy(path: Path) -> bool:
    """Whether a file holds a policy's weights, not imported ones."""
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
    which = "all of them"
    if fresh:
        which = f"to be trained from nothing: {', '.join(fresh)}"
    progress(f"weights begin as in {init}; {which}")
    return model
